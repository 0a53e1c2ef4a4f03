"""The shipped data files."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from conftest import ROOT
from lf_registry.dataset_info import read_dataset_info

INFO = read_dataset_info(ROOT)
MARKER = re.compile(r"<\|[^|]*\|>|\ufffd")
LEAST = {"ironman": 250, "ironman_eval": 40, "kanana_qa": 200, "kanana_qa_eval": 30}
#: Conversations; the question answering and the prices have tests of their own (test_datasets_qa_price.py).
CHATS = list(LEAST)


def rows(name: str) -> list[list[dict[str, str]]]:
    """A dataset as conversations."""
    loaded = json.loads((ROOT / INFO[name]["file_name"]).read_text(encoding="utf-8"))
    columns = INFO[name]["columns"]
    return [
        row.get("messages")
        or [
            {"role": "user", "content": row[columns["prompt"]]},
            {"role": "assistant", "content": row[columns["response"]]},
        ]
        for row in loaded
    ]


def pairs() -> list[tuple[str, str]]:
    """Each dataset with itself, and each held-out set with its training set."""
    return [(name, name) for name in CHATS] + [(name, f"{name}_eval") for name in CHATS if f"{name}_eval" in CHATS]


@pytest.mark.parametrize("name", CHATS)
def test_every_row_is_a_conversation_of_korean_text(name):
    for number, messages in enumerate(rows(name), 1):
        roles = [message["role"] for message in messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2) and roles, f"row {number}"
        for message in messages:
            text = message["content"]
            assert text == text.strip() and text, f"row {number}: edges"
            assert not MARKER.search(text), f"row {number}: marker or broken text"
        answers = " ".join(message["content"] for message in messages if message["role"] == "assistant")
        assert len(re.findall("[가-힣]", answers)) >= 10, f"row {number}: not Korean"


@pytest.mark.parametrize("name", INFO)
def test_files_are_utf8_readable_json(name):
    raw = (ROOT / INFO[name]["file_name"]).read_bytes()
    text = raw.decode("utf-8")
    assert text == json.dumps(json.loads(text), ensure_ascii=False, indent=2) + "\n"
    (columns,) = {tuple(row) for row in json.loads(text)}
    assert set(columns) == set(INFO[name]["columns"].values()), "every column is mapped, so every one is seen"


@pytest.mark.parametrize("name", LEAST)
def test_sizes(name):
    assert len(rows(name)) >= LEAST[name]


def test_ironman_has_conversations_of_several_turns():
    assert sum(len(messages) > 2 for messages in rows("ironman")) >= 30


def test_the_voice_of_ironman_is_casual_speech():
    polite = re.compile(r"(습니다|입니다|하세요|해요|예요|이에요)[.!?]?$")
    endings = [
        sentence
        for name in ("ironman", "ironman_eval")
        for messages in rows(name)
        for message in messages
        if message["role"] == "assistant"
        for sentence in re.split(r"(?<=[.!?])\s+", re.sub(r"['\"‘“].*?['\"’”]", "", message["content"]))
    ]
    slips = [sentence for sentence in endings if polite.search(sentence.strip())]
    assert len(slips) <= len(endings) // 200, slips[:10]


def shingles(text: str) -> set[str]:
    squeezed = re.sub(r"[\s.,!?'\"]", "", text)
    return {squeezed[i : i + 3] for i in range(max(1, len(squeezed) - 2))}


def similar(left: list[str], right: list[str], same: bool, limit: float) -> list[tuple[str, str]]:
    """Pairs that share more than ``limit`` of their three-character pieces (Jaccard)."""
    a, b = [shingles(text) for text in left], [shingles(text) for text in right]
    return [
        (left[i], right[j])
        for i in range(len(a))
        for j in range(i + 1 if same else 0, len(b))
        if len(a[i] & b[j]) > limit * len(a[i] | b[j])
    ]


@pytest.mark.parametrize(("one", "other"), pairs())
def test_no_near_duplicates_inside_or_across_train_and_eval(one, other):
    for role, limit in (("user", 0.6), ("assistant", 0.4)):
        texts = [
            [m["content"] for messages in rows(name) for m in messages if m["role"] == role] for name in (one, other)
        ]
        assert similar(texts[0], texts[1], one == other, limit) == []


def test_the_near_duplicate_check_sees_a_near_duplicate():
    assert similar(["파이썬에서 리스트를 뒤집는 방법은?"], ["파이썬에서 리스트를 뒤집는 방법은 뭔가요?"], False, 0.6)
    assert not similar(["파이썬에서 리스트를 뒤집는 방법은?"], ["자바에서 문자열을 비교하려면?"], False, 0.6)


@pytest.mark.parametrize("name", CHATS)
def test_answers_do_not_all_begin_alike(name):
    openings = Counter(m["content"][:6] for messages in rows(name) for m in messages if m["role"] == "assistant")
    opening, count = openings.most_common(1)[0]
    assert count <= 4, opening


def test_every_data_file_is_listed_and_has_its_place_in_the_data_card():
    files = {path.name for path in (ROOT / "datasets").glob("*.json")}
    assert files == {Path(entry["file_name"]).name for entry in INFO.values()}
    card = (ROOT / "datasets" / "README.md").read_text(encoding="utf-8")
    for name in INFO:
        assert f"`{name}`" in card
        assert re.search(rf"`{name}`[^\n]*\b{len(rows(name))}\b", card), f"the card's number of rows of {name}"
