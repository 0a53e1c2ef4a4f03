"""Every metric against cases counted by hand, and against the library it is from."""

from __future__ import annotations

import doctest
import importlib
import math

import pytest

from lf_registry.compare.metrics import METRICS, chosen, normalize
from lf_registry.compare.statistics import paired
from lf_registry.errors import UserError, WrongUsage


def score(name: str, answer: str, reference: str, references: list[str] | None = None):
    return METRICS[name].prepare(references or [reference])(answer, reference)


def total(name: str, pairs: list[tuple[str, str]]) -> float:
    metric = METRICS[name]
    one = metric.prepare([reference for _, reference in pairs])
    values = [one(answer, reference) for answer, reference in pairs]
    return paired(values, values, total=metric.total).after


@pytest.mark.parametrize("name", ["amounts", "sanity", "sentences", "differences", "judge"])
def test_examples_in_the_code(name):
    result = doctest.testmod(importlib.import_module(f"lf_registry.compare.{name}"))
    assert result.attempted and not result.failed


@pytest.mark.parametrize(
    ("answer", "reference", "equal", "f1"),
    [
        ("서울", "서울", 1, 1),
        (" 서울\n특별시 ", "서울 특별시", 1, 1),
        ("서울", "서울", 1, 1),  # decomposed and composed Hangul
        ("서울은", "서울", 0, 2 * 2 / 5),
        ("서울.", "서울", 0, 2 * 2 / 5),
        ("부산", "서울", 0, 0),
        ("Seoul", "seoul", 0, 2 * 4 / 10),
        ("가가나", "가나나", 0, 2 * 2 / 6),
        ("", "서울", 0, 0),
        ("", "", 1, 1),
    ],
)
def test_exact_match_and_character_f1(answer, reference, equal, f1):
    assert score("exact_match", answer, reference) == equal
    assert score("f1", answer, reference) == pytest.approx(f1)


def test_nothing_but_white_space_is_normalized():
    assert normalize("\t그는  'A'와, b를\n샀다!! ") == "그는 'A'와, b를 샀다!!"


def test_rouge_is_the_librarys_over_words():
    scorer = pytest.importorskip("rouge_score.rouge_scorer")
    # Four and three words, three of them in order: precision 3/4, recall 3/3.
    assert score("rouge", "나는 밥을 많이 먹었다.", "나는 밥을 먹었다") == pytest.approx(6 / 7)
    assert score("rouge", "밥을 나는", "나는 밥을") == pytest.approx(1 / 2)
    theirs = scorer.RougeScorer(["rougeL"]).score("The quick brown fox, 3 dogs", "the brown quick fox and 3 dogs")
    assert score("rouge", "the brown quick fox and 3 dogs", "The quick brown fox, 3 dogs") == theirs["rougeL"].fmeasure


def test_chrf_is_the_librarys():
    sacrebleu = pytest.importorskip("sacrebleu")
    answer, reference = "나는 밥을 많이 먹었다.", "나는 밥을 먹었다."
    assert score("chrf", answer, reference) == pytest.approx(sacrebleu.sentence_chrf(answer, [reference]).score / 100)
    assert score("chrf", reference, reference) == 1 and score("chrf", "가", "나") == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12,900원", 12900),
        ("가격은 약 3만 5천원입니다.", 35000),
        ("3천 5백만 원", 35_000_000),
        ("1조 2,345억", 1_234_500_000_000),
        ("2024년에는 15,000원이었다", 15000),
        ("30% 할인해서 9,900", 9900),
        ("$7.50", 7.5),
        ("１２，９００원", 12900),
        ("-3 달러", -3),
        ("2024-11-02", 2024),
        ("모르겠습니다", None),
        # In words, wholly or in part.
        ("백만 원", 1_000_000),
        ("만 원", 10_000),
        ("천만 원", 10_000_000),
        ("만원입니다.", 10_000),
        ("단돈 천 원이면 됩니다", 1000),
        ("백 원짜리 동전", 100),
        ("만 5천 원", 15_000),
        ("만오천 원", 15_000),
        ("만 이천 원", 12_000),
        ("1억 천만 원", 110_000_000),
        ("12만 천 원", 121_000),
        ("삼만 오천 원", 35_000),
        ("이천오백만 원", 25_000_000),
        ("십오만 원대", 150_000),
        ("십오 만 원", 150_000),
        ("천이백삼십오 원", 1235),
        ("오만 원권 한 장", 50_000),
        ("총 비용은 백만 달러쯤이다", 1_000_000),
        ("이 백만 원을 드립니다", 1_000_000),
        ("만 6세 이용가, 만 2천 원", 12_000),
        ("천 원단으로 만든 3만 원짜리 가방", 30_000),
        # No price, or none that anybody could name.
        ("수십만 원", None),
        ("몇 만 원", None),
        ("몇천 원", None),
        ("하나만 원합니다", None),
        ("천만에요", None),
        ("백 엔진", None),
    ],
)
def test_prices_are_read_as_people_write_them(text, value):
    from lf_registry.compare.amounts import amount

    assert amount(text) == value


def test_a_long_answer_is_read_once():
    """A search that tries every way to read the same words would not come to an end."""
    from lf_registry.compare.amounts import amount

    assert [amount(text * 20_000) for text in ("백 ", "1 ", "만 ", "십오", " ")] == [None, 1, None, None, None]


def test_prices():
    pairs = [("1만 원", "10,000원"), ("13,000원", "10,000원"), ("8000", "10,000원")]
    assert total("mae", pairs) == pytest.approx((0 + 3000 + 2000) / 3)
    logs = [0, math.log(13001 / 10001), math.log(8001 / 10001)]
    assert total("rmsle", pairs) == pytest.approx(math.sqrt(sum(x * x for x in logs) / 3))
    assert total("within_20", pairs) == pytest.approx(2 / 3)
    assert score("mae", "모름", "10,000원") is None and score("within_20", "모름", "10,000원") == 0
    assert not METRICS["mae"].higher and not METRICS["rmsle"].higher


def test_labels():
    references = ["긍정", "긍정", "부정", "중립"]
    answers = ["긍정", "부정입니다.", "이 글은 부정이다", "긍정 또는 부정"]
    pairs = list(zip(answers, references, strict=True))
    assert [score("accuracy", a, r, references) for a, r in pairs] == [1, 0, 1, 0]
    # 긍정: one right of two, none too many: 2/3. 부정: one right, one too many: 2/3. 중립: none.
    assert total("macro_f1", pairs) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert score("accuracy", "매우 긍정", "매우 긍정", ["긍정", "매우 긍정"]) == 1
    assert score("accuracy", "매우 긍정이에요", "긍정", ["긍정", "매우 긍정"]) == 0
    assert score("accuracy", "A", "a", ["a", "b"]) == 1 and score("accuracy", "about", "a", ["a", "b"]) == 0


def test_macro_f1_wins_where_the_label_is_right():
    metric = METRICS["macro_f1"]
    one = metric.prepare(["가", "나"])
    before, after = [one("나", "가"), one("나", "나")], [one("가", "가"), one("가", "나")]
    result = paired(before, after, total=metric.total, row=metric.row)
    assert (result.wins, result.losses, result.ties) == (1, 1, 0)


def test_texts_are_no_labels():
    with pytest.raises(UserError, match="101 different texts"):
        METRICS["accuracy"].prepare([str(i) for i in range(101)])


def test_unknown_metrics_are_named_all_at_once():
    with pytest.raises(WrongUsage) as error:
        chosen(["exact,f1", "rogue"])
    assert len(error.value.problems) == 2 and "did you mean 'rouge'" in error.value.problems[1]
    assert [metric.name for metric in chosen(["f1, mae", "f1"])] == ["f1", "mae"]
