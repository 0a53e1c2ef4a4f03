"""The figures of an output folder, from the log and the Trainer's history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import HARDWARE_FIGURE, LOG, LOSS_FIGURE
from .history import sessions, summarize, summary_text
from .log import read_log
from .loss import read_curves, turn_text, turning_point

Row = Mapping[str, Any]


def draw_all(folder: Path, history: Sequence[Row] | None = None) -> list[str]:
    """Draw both figures; what cannot be drawn is said, and never stops a training that has just ended.

    Args:
        folder: the run's ``output_dir``.
        history: the Trainer's ``log_history``; read from the newest ``trainer_state.json`` when left out.

    Returns:
        Sentences for the user.
    """
    lines = []
    for draw in (_hardware, lambda folder: draw_loss_of(folder, history)):
        try:
            lines += draw(folder)
        except Exception as error:  # a figure is not worth a run: matplotlib may fail in any way
            lines.append(f"{folder}: no figure ({type(error).__name__}: {error})")
    return lines


def _hardware(folder: Path) -> list[str]:
    from .figure_hardware import draw_hardware

    rows, broken = read_log(folder / LOG)
    starts = sessions(rows)
    if not any(session.samples for session in starts):
        return [f"{folder / LOG}: nothing was recorded, so there is no {HARDWARE_FIGURE}"]
    draw_hardware(folder / HARDWARE_FIGURE, starts)
    text = f"{summary_text(summarize(starts))}; drawn in {folder / HARDWARE_FIGURE}"
    return [text + (f" ({broken} incomplete lines left out)" if broken else "")]


def draw_loss_of(folder: Path, history: Sequence[Row] | None = None) -> list[str]:
    """Draw the losses of a run; nothing when none was logged. Returns sentences. Raises: UserError."""
    from .figure_loss import draw_loss

    curves = read_curves(_history(folder) if history is None else history)
    if not curves.train and not curves.evaluations:
        return []
    draw_loss(folder / LOSS_FIGURE, curves)
    turns = {name: turning_point(curves, name) for name in curves.evaluations}
    found = [turn_text(turn, name) for name, turn in turns.items() if turn is not None]
    return [*found, f"losses drawn in {folder / LOSS_FIGURE}"]


def _history(folder: Path) -> list[Row]:
    """The history in the newest ``trainer_state.json``: the finished run's, or the last checkpoint's."""
    states = [*folder.glob("trainer_state.json"), *folder.glob("checkpoint-*/trainer_state.json")]
    for path in sorted(states, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            history = json.loads(path.read_text(encoding="utf-8"))["log_history"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a checkpoint that was being written; the one before it is whole
        if isinstance(history, list):
            return history
    return []
