"""Training and evaluation loss by epoch, and where the evaluation loss turns up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import Any

Point = tuple[float, float]

_EVAL = re.compile(r"eval_(?:(?P<name>.+)_)?loss")
#: An evaluation loss that is higher by less than this share has not turned up: two evaluations differ by as much.
NOISE = 0.01


@dataclass(frozen=True)
class Curves:
    """What the Trainer logged.

    Attributes:
        train: (epoch, loss) of every logged step.
        means: (end of the epoch, mean loss in it).
        evaluations: name of the evaluation set (empty when there is one) -> (epoch, loss).
    """

    train: list[Point]
    means: list[Point]
    evaluations: dict[str, list[Point]]


def read_curves(history: Iterable[Mapping[str, Any]]) -> Curves:
    """Read the Trainer's ``log_history``; a step that was logged twice counts as it was logged last."""
    train: dict[float, Point] = {}
    evaluations: dict[str, dict[float, Point]] = {}
    for entry in history:
        epoch, step = entry.get("epoch"), entry.get("step")
        if not isinstance(epoch, int | float) or step is None:
            continue
        for key, value in entry.items():
            if not isinstance(value, int | float) or not isfinite(value):
                continue
            if key == "loss":
                train[step] = (epoch, value)
            elif match := _EVAL.fullmatch(key):
                evaluations.setdefault(match["name"] or "", {})[step] = (epoch, value)
    points = sorted(train.values())
    return Curves(points, _means(points), {name: sorted(found.values()) for name, found in evaluations.items()})


def _means(points: list[Point]) -> list[Point]:
    by_epoch: dict[int, list[float]] = {}
    for epoch, loss in points:
        by_epoch.setdefault(max(0, -int(-epoch // 1) - 1), []).append(loss)  # epoch 1.0 is the end of the first
    last = points[-1][0] if points else 0.0
    return [(min(number + 1.0, last), fmean(losses)) for number, losses in sorted(by_epoch.items())]


@dataclass(frozen=True)
class Turn:
    """The lowest evaluation loss of a run that got worse after it.

    Attributes:
        epoch, loss: where it was lowest.
        last: the evaluation loss at the end.
        learns_by_heart: the training loss still fell after it: over-fitting, and not a run that diverged.
    """

    epoch: float
    loss: float
    last: float
    learns_by_heart: bool


def turning_point(curves: Curves, evaluation: str = "") -> Turn | None:
    """Where the evaluation loss turns up; None when its end is within ``NOISE`` of its lowest value."""
    points = curves.evaluations.get(evaluation, [])
    if len(points) < 2:
        return None
    epoch, loss = min(points, key=lambda point: point[1])
    last = points[-1][1]
    if last <= loss + NOISE * abs(loss):
        return None
    before = [value for at, value in curves.train if at <= epoch]
    after = [value for at, value in curves.train if at > epoch]
    window = max(1, min(len(before), len(after)) // 2)
    falls = bool(before and after) and fmean(after[-window:]) < fmean(before[-window:])
    return Turn(epoch, loss, last, falls)


def turn_text(turn: Turn, evaluation: str = "") -> str:
    """One sentence with what to do."""
    of = f" of {evaluation}" if evaluation else ""
    what = f"eval loss{of} is lowest after epoch {turn.epoch:.3g} ({turn.loss:.3g}) and ends at {turn.last:.3g}"
    if turn.learns_by_heart:
        return (
            f"{what} while the training loss still falls: the model learns by heart; train for "
            f"num_train_epochs={turn.epoch:.3g}, or keep the best checkpoint (load_best_model_at_end: true)"
        )
    return f"{what}, and the training loss rises with it: try a lower learning_rate"
