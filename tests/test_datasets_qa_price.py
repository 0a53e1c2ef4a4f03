"""The extractive question answering and the prices."""

from __future__ import annotations

import json
import re

import pytest

from conftest import ROOT
from lf_registry.dataset_info import read_dataset_info
from test_datasets import similar

INFO = read_dataset_info(ROOT)
QA, PRICES = ("inha_qa", "inha_qa_eval"), ("price", "price_eval")


def load(name: str) -> list[dict[str, str]]:
    return json.loads((ROOT / INFO[name]["file_name"]).read_text(encoding="utf-8"))


def passages(name: str) -> dict[str, list[dict[str, str]]]:
    """Passage -> its rows."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in load(name):
        found.setdefault(row["context"], []).append(row)
    return found


@pytest.mark.parametrize("name", [*QA, *PRICES])
def test_texts_are_whole(name):
    for number, row in enumerate(load(name), 1):
        for key, text in row.items():
            assert text == text.strip() and text, f"row {number}: {key}"
            assert not re.search(r"<\|[^|]*\|>|\ufffd|### |  ", text), f"row {number}: {key}"


@pytest.mark.parametrize("name", QA)
def test_an_answer_stands_in_its_passage_word_for_word(name):
    for number, row in enumerate(load(name), 1):
        assert row["answer"] in row["context"], f"row {number}: {row['answer']}"
        assert 1 <= len(row["answer"].split()) <= 8, f"row {number}: {row['answer']}"
        assert row["answer"][-1] not in ".,?!", f"row {number}: {row['answer']}"


@pytest.mark.parametrize("name", QA)
def test_a_question_is_one_line_of_korean_that_does_not_give_its_answer_away(name):
    for number, row in enumerate(load(name), 1):
        question = row["question"]
        assert "\n" not in question and question.endswith("?"), f"row {number}"
        assert len(re.findall("[가-힣]", question)) >= 6, f"row {number}"
        assert row["answer"] not in question, f"row {number}: {question}"


@pytest.mark.parametrize("name", QA)
def test_a_passage_has_four_to_eight_sentences_and_three_questions(name):
    for passage, rows in passages(name).items():
        assert 4 <= len(re.split(r"(?<=[.!?])\s+", passage)) <= 8, passage[:30]
        assert len(rows) >= 3, passage[:30]
        assert len({row["question"] for row in rows}) == len({row["answer"] for row in rows}) == len(rows), passage[:30]


def test_sizes():
    assert len(passages("inha_qa")) >= 40 and len(passages("inha_qa_eval")) >= 12
    assert len(load("price")) >= 200 and len(load("price_eval")) == 50


def test_what_makes_the_task_hard_is_there():
    rows = load("inha_qa")
    answers = [row["answer"] for row in rows]
    for pattern, least in ((r"\d", 120), (r"%", 20), (r"\(.+\)", 4), (r"\d[일월년]", 12), (r"\d,\d{3}", 15), (r"~", 4)):
        assert sum(bool(re.search(pattern, answer)) for answer in answers) >= least, pattern
    assert sum(row["context"].count(row["answer"]) > 1 for row in rows) >= 10, "answers that occur more than once"
    assert sum(len(answer.split()) >= 4 for answer in answers) >= 10, "answers of several words"
    numbers = [len(re.findall(r"\d[\d,.]*", row["context"])) for row in rows]
    assert sum(count >= 8 for count in numbers) >= len(rows) * 0.8, "near misses around a number"


def test_no_passage_and_no_question_comes_twice_or_in_both_sets():
    texts = [list(passages(name)) for name in QA]
    questions = [[row["question"] for row in load(name)] for name in QA]
    for train, held_out, limit in ((*texts, 0.25), (*questions, 0.6)):
        assert similar(train, train, True, limit) == []
        assert similar(held_out, held_out, True, limit) == []
        assert similar(train, held_out, False, limit) == []


@pytest.mark.parametrize("name", PRICES)
def test_a_price_is_dollars_and_cents_as_text(name):
    for number, row in enumerate(load(name), 1):
        assert re.fullmatch(r"[1-9]\d{0,3}\.\d\d", row["price"]), f"row {number}: LLaMA-Factory drops numbers"
        assert 10 <= len(row["product"]) <= 600, f"row {number}"
        assert row["price"] not in row["product"] and "$" not in row["product"], f"row {number}: gives the price away"


def test_prices_are_varied():
    prices = [float(row["price"]) for row in load("price")]
    for low, high in ((0, 20), (20, 50), (50, 150), (150, 500), (500, 3000)):
        assert sum(low <= price < high for price in prices) >= 10, (low, high)
    assert len(set(prices)) >= 130
    assert sum(price == int(price) for price in prices) >= 40, "not every price ends in 99 cents"


def test_no_product_comes_twice_or_in_both_sets():
    train, held_out = ([row["product"] for row in load(name)] for name in PRICES)
    assert similar(train, train, True, 0.5) == []
    assert similar(held_out, held_out, True, 0.5) == []
    assert similar(train, held_out, False, 0.5) == []
    openings = [" ".join(text.split()[:2]) for text in train + held_out]
    assert max(openings.count(opening) for opening in openings) <= 4
