"""Learned, or learned by heart: what is said about a gap between training and held-out prompts."""

from __future__ import annotations

import pytest

from lf_registry.compare.metrics import chosen
from lf_registry.compare.overfit import over_fitting, repeated
from lf_registry.compare.prompts import Prompt
from lf_registry.compare.rows import make_rows

METRICS = chosen(["exact_match"])


def rows(source: str, before: list[bool], after: list[bool], likelihood: tuple[float, float] | None = None):
    """Prompts that are answered right or wrong before and after; perhaps with a likelihood of the reference each."""
    prompts = [Prompt(source, i, ({"role": "user", "content": f"{source} {i}"},), "네") for i in range(len(before))]
    answers = {
        side: {i: {"text": "네" if right else "아니요", "tokens": 1, "stopped": True} for i, right in enumerate(rights)}
        for side, rights in (("before", before), ("after", after))
    }
    scored = {}
    if likelihood:
        for side, nll in zip(answers, likelihood, strict=True):
            scored[side] = {i: {"nll": nll + i / 100, "tokens": 1} for i in range(len(before))}
    return make_rows(prompts, answers, scored, {side: [""] * len(before) for side in answers}, METRICS)


WRONG, RIGHT = [False] * 12, [True] * 12
HALF = [True, False] * 6


@pytest.mark.parametrize(
    ("train", "held_out", "verdict"),
    [
        ((WRONG, RIGHT), (WRONG, WRONG), "memorized"),
        ((WRONG, RIGHT), (RIGHT, WRONG), "over-fitted"),
        ((WRONG, RIGHT), (WRONG, HALF), "partly"),
        ((WRONG, RIGHT), (WRONG, RIGHT), "general"),
        ((RIGHT, RIGHT), (WRONG, RIGHT), "general"),
        ((RIGHT, WRONG), (RIGHT, WRONG), "worse"),
        ((WRONG, WRONG), (RIGHT, WRONG), "worse"),
        ((RIGHT, WRONG), (WRONG, WRONG), "no gain"),
        ((WRONG, WRONG), (WRONG, WRONG), "unclear"),
        ((WRONG[:3], RIGHT[:3]), (WRONG[:3], WRONG[:3]), "no gain"),
    ],
)
def test_verdicts(train, held_out, verdict):
    (entry,) = over_fitting(rows("train", *train), rows("held", *held_out), METRICS)
    assert entry["verdict"] == verdict and entry["name"] == "exact_match"
    shares = [sum(side) / len(side) for side in (*train, *held_out)]
    assert [*entry["train"].values(), *entry["held_out"].values()] == pytest.approx(shares)


def test_what_was_easier_from_the_start_is_not_learned_by_heart():
    """Training prompts are right more often, before as well as after: the gain is what counts."""
    (entry,) = over_fitting(rows("train", HALF, RIGHT), rows("held", WRONG, HALF), METRICS)
    assert entry["gain_on_train_beyond_held_out"]["difference"] == 0 and entry["verdict"] == "general"


def test_the_perplexity_of_the_references():
    train = rows("train", WRONG, WRONG, (5.0, 1.0))
    held_out = rows("held", WRONG, WRONG, (5.0, 5.5))
    entry = over_fitting(train, held_out, [])[0]
    assert entry["name"] == "perplexity" and entry["verdict"] == "over-fitted"
    assert entry["train"]["after"] == pytest.approx(2.718281828 ** (1.0 + 0.055))
    assert "the model is over-fitted" in entry["sentence"]


def test_held_out_prompts_that_were_trained_on():
    train = rows("train", WRONG, RIGHT)
    assert repeated(train, train[:3]) == 3 and repeated(train, rows("held", WRONG, RIGHT)) == 0
