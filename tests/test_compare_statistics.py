"""When a difference is called more than noise."""

from __future__ import annotations

import pytest

from lf_registry.compare.differences import marked
from lf_registry.compare.sanity import flags, hangul_share, leaks, repeats
from lf_registry.compare.sentences import certainty, metric_sentence
from lf_registry.compare.statistics import gap, paired


def test_paired_counts():
    result = paired([0.0, 1.0, 0.5, None], [1.0, 0.5, 0.5, 1.0])
    assert (result.prompts, result.left_out, result.wins, result.losses, result.ties) == (3, 1, 1, 1, 1)
    assert result.before == pytest.approx(0.5) and result.after == pytest.approx(2 / 3)
    assert result.difference == pytest.approx(1 / 6)
    lower = paired([0.0, 1.0, 0.5], [1.0, 0.5, 0.5], higher=False)
    assert (lower.wins, lower.losses) == (1, 1)
    assert paired([None], [1.0]) is None


def test_interval_of_a_mean():
    before, after = [0.0] * 100, [1.0] * 30 + [0.0] * 70
    result = paired(before, after)
    # The bootstrap of a share: 0.3 within 1.96 times sqrt(0.3 * 0.7 / 100).
    assert result.low == pytest.approx(0.3 - 0.0898, abs=0.015) and result.high == pytest.approx(
        0.3 + 0.0898, abs=0.015
    )
    assert result.more_than_noise and paired(before, after, seed=0) == result
    assert "more than noise" in certainty(result)


@pytest.mark.parametrize(("differing", "certain"), [(3, False), (5, False), (6, True)])
def test_a_few_prompts_prove_nothing(differing, certain):
    result = paired([0.0] * differing, [1.0] * differing)
    assert (result.low, result.high) == (1, 1) and result.more_than_noise is certain
    assert ("may be chance" in metric_sentence("f1", result)) is not certain


def test_one_prompt_has_no_interval():
    result = paired([0.0], [1.0])
    assert (result.low, result.high, result.more_than_noise) == (None, None, False)


def test_noise_is_called_noise():
    before, after = [0.0, 1.0] * 20, [1.0, 0.0] * 20
    sentence = metric_sentence("exact_match", paired(before, after))
    assert "stayed at 0.500" in sentence and "20 better, 20 worse" in sentence and "not more than noise" in sentence


@pytest.mark.parametrize(("name", "words"), [("mae", "got worse from 1 to 2"), ("f1", "improved from 1 to 2")])
def test_lower_can_be_better(name, words):
    higher = name == "f1"
    assert words in metric_sentence(name, paired([1.0] * 8, [2.0] * 8, higher=higher))


def test_gap_between_groups():
    difference, low, high = gap([1.0] * 10 + [0.0] * 10, [0.0] * 20)
    assert difference == 0.5 and 0.2 < low < 0.5 < high < 0.8
    assert gap([1.0], [0.0]) == (1.0, None, None)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("1. 2. 3. 4. 5.", True),
        ("1) 2) 3) 4)", True),
        ("1. 사과\n2. 배\n3. 감\n4. 귤", False),
        ("ㅋㅋㅋ 재밌네요", False),
        ("ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ", True),
        ("그렇습니다. 그렇습니다. 그렇습니다. 그렇습니다. 그렇습니다.", True),
        ("나는 자비스에게 물었다.\n나는 자비스에게 물었다.\n응.\n나는 자비스에게 물었다.", True),
        ("| 이름 | 값 |\n|------------|------------|\n| 가 | 1 |", False),
        ("=" * 60, False),
        ("192.168.0.1 에서 3.14159까지", False),
        ("모두 1,000,000,000,000원입니다.", False),
        ("", False),
    ],
)
def test_repetition(text, wrong):
    assert repeats(text) is wrong


def test_the_persona_leaks():
    persona = "당신은 토니 스타크입니다. 자신감 있게, 재치 있게 대답하고 농담을 아끼지 마세요."
    assert leaks(f"물론이죠. {persona[8:]}", persona)
    assert not leaks("저는 토니 스타크입니다. 무엇을 도와드릴까요? 농담도 할 수 있어요.", persona)
    assert not leaks("안녕하세요", "") and not leaks("짧다", "짧다")


def test_flags():
    assert flags(" \n", stopped=True, system="") == ["empty"]
    assert flags("ㅋ" * 30, stopped=False, system="") == ["never_stops", "repeats"]
    assert flags("네.", stopped=True, system="") == []


def test_share_of_hangul():
    assert hangul_share(["안녕 hi", "123"]) == pytest.approx(0.5)
    assert hangul_share(["ㅋㅋ", "가"]) == 1 and hangul_share(["12"]) is None


@pytest.mark.parametrize(
    ("before", "after", "only"),
    [
        ("나는 밥을 먹었다.", "나는 빵을 먹었다.", "밥"),
        ("오늘은 " + "비가 오고 바람이 분다. " * 8, "내일은 " + "비가 오고 바람이 분다. " * 8, "오늘은"),
        ("전혀 다른 말", "something else entirely", ""),
        ("긴 이야기를 하나 해 보자. " * 5, "It is quite another story. " * 5, ""),
        ("같다", "같다", ""),
        ("", "가", ""),
    ],
)
def test_marked_differences(before, after, only):
    left, right = marked(before, after)
    assert "".join(text for different, text in left if different) == only
    assert ("".join(text for _, text in left), "".join(text for _, text in right)) == (before, after)
