"""``training_loss.png``: training and evaluation loss by epoch, with the place where the evaluation loss turns up."""

from __future__ import annotations

from pathlib import Path

from .image import new_figure, save
from .loss import Curves, turning_point

_TRAIN, _EVALUATIONS, _TURN = "#0072B2", ("#D55E00", "#009E73", "#CC79A7", "#E69F00"), "#555555"


def draw_loss(path: Path, curves: Curves) -> None:
    """Draw the curves. Raises: UserError: the file cannot be written."""
    figure, (axes,) = new_figure((9, 5.5), [1])
    if curves.train:
        axes.plot(*zip(*curves.train, strict=True), color=_TRAIN, alpha=0.35, linewidth=1, label="training, each log")
    if len(curves.means) > 1:
        axes.plot(*zip(*curves.means, strict=True), color=_TRAIN, marker="o", markersize=4, label="training, by epoch")
    for place, (name, points) in enumerate(curves.evaluations.items()):
        color = _EVALUATIONS[place % len(_EVALUATIONS)]
        label = f"evaluation {name}".rstrip()
        axes.plot(*zip(*points, strict=True), color=color, marker="s", markersize=5, label=label)
        turn = turning_point(curves, name)
        if turn is not None:
            word = "over-fitting" if turn.learns_by_heart else "getting worse"
            axes.axvline(turn.epoch, color=color, linestyle="--", linewidth=1)
            axes.axvspan(turn.epoch, points[-1][0], color=color, alpha=0.08, linewidth=0)
            axes.annotate(
                f"{label} turns up after epoch {turn.epoch:.3g}: {word}",
                (turn.epoch, turn.loss),
                xytext=(6, -18 - 14 * place),
                textcoords="offset points",
                fontsize=8,
                color=_TURN,
            )
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.margins(y=0.15)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    save(figure, path)
