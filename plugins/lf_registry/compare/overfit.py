"""How far the answers to training prompts and to held-out ones are apart: learned, or learned by heart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .metrics import Metric, normalize
from .rows import Row
from .sentences import number
from .sides import AFTER, BEFORE
from .statistics import gap, paired
from .summary import likelihoods, measured, per_character, perplexity

#: What a metric says about a fine-tuning, from both kinds of prompts.
VERDICTS = {
    "over-fitted": "better on what it was trained on, worse on what it was not: the model is over-fitted",
    "memorized": "better only on what it was trained on: the model learned these answers by heart",
    "partly": "better on both, but far more on what it was trained on: in part the model learned by heart",
    "general": "better on prompts that it was not trained on too: what it learned carries over",
    "worse": "worse on what it was not trained on, and no better on what it was",
    "no gain": "no gain that is more than noise on either",
    "unclear": "too little differs to say anything",
}


def over_fitting(train: Sequence[Row], held_out: Sequence[Row], metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """Compare what a fine-tuning did on both kinds of prompts, for the perplexity and for each metric.

    The gap is what the tuned model gained on the training prompts beyond what it gained on the held-out ones
    (difference in differences): training prompts that were easier from the start do not count as learned by heart.

    Args:
        train: prompts that the model was trained on.
        held_out: prompts that it was not.
        metrics: those that are a mean over the prompts are compared.

    Returns:
        One entry for each, with a plain sentence.
    """
    found = []
    characters = per_character([*train, *held_out])
    entry = _entry(
        "perplexity",
        train,
        held_out,
        lambda rows, side: likelihoods(rows, side, characters=characters),
        higher=False,
        shown=_perplexities,
    )
    found += [entry] if entry else []
    for metric in metrics:
        if metric.total is None:
            entry = _entry(metric.name, train, held_out, _values_of(metric), higher=metric.higher, shown=_shown(metric))
            found += [entry] if entry else []
    return found


def _values_of(metric: Metric) -> Callable[[Sequence[Row], str], list[float | None]]:
    return lambda rows, side: [row.said[side].values[metric.name] for row in rows]


def _shown(metric: Metric) -> Callable[[Sequence[Row]], tuple[float, float] | None]:
    def both(rows: Sequence[Row]) -> tuple[float, float] | None:
        result = measured(rows, metric)
        return None if result is None else (result.before, result.after)

    return both


def _perplexities(rows: Sequence[Row]) -> tuple[float, float] | None:
    values = perplexity(rows)
    return None if values is None else (values[BEFORE], values[AFTER])


def _entry(
    name: str,
    train: Sequence[Row],
    held_out: Sequence[Row],
    values: Callable[[Sequence[Row], str], list[float | None]],
    *,
    higher: bool,
    shown: Callable[[Sequence[Row]], tuple[float, float] | None],
) -> dict[str, Any] | None:
    groups = [(values(rows, BEFORE), values(rows, AFTER)) for rows in (train, held_out)]
    results = [paired(*group, higher=higher) for group in groups]
    numbers = [shown(rows) for rows in (train, held_out)]
    if None in results or None in numbers:
        return None
    sign = 1 if higher else -1
    gains = [[sign * (a - b) for b, a in zip(*group, strict=True) if None not in (a, b)] for group in groups]
    difference, low, high = gap(*gains)
    verdict = _verdict(results, sign, low, high)
    trained, other = numbers
    assert trained is not None and other is not None
    sentence = (
        f"Over-fitting by {name}: {number(trained[0])} to {number(trained[1])} on training prompts, "
        f"{number(other[0])} to {number(other[1])} on held-out ones: {VERDICTS[verdict]}."
    )
    return {
        "name": name,
        "verdict": verdict,
        "train": {BEFORE: trained[0], AFTER: trained[1]},
        "held_out": {BEFORE: other[0], AFTER: other[1]},
        "gain_on_train_beyond_held_out": {"difference": difference, "low": low, "high": high},
        "sentence": sentence,
    }


def _verdict(results: list[Any], sign: int, low: float | None, high: float | None) -> str:
    train, other = results
    gained = [result.more_than_noise and sign * result.difference > 0 for result in results]
    lost = other.more_than_noise and sign * other.difference < 0
    apart = low is not None and high is not None and low > 0
    if not gained[0]:
        if lost:
            return "worse"
        changed = train.wins + train.losses + other.wins + other.losses
        return "general" if gained[1] else "no gain" if changed else "unclear"
    if lost:
        return "over-fitted"
    if not gained[1]:
        return "memorized" if apart else "unclear"
    return "partly" if apart else "general"


def repeated(train: Sequence[Row], held_out: Sequence[Row]) -> int:
    """How many held-out prompts ask the same as a training prompt: these hold nothing out."""
    seen = {normalize(row.prompt.question) for row in train}
    return sum(normalize(row.prompt.question) in seen for row in held_out)
