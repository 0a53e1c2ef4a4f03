"""What to change when a run fills more disk than there is."""

from __future__ import annotations

import math

from .disk import estimate_disk
from .run import Result, Subject
from .setup import read_setup
from .suggest import change

_LIMIT, _MODEL_ONLY = "save_total_limit=1", "save_only_model=true"


def smaller_disk(subject: Subject, result: Result, size: float) -> tuple[str, ...]:
    """Find the first change of what is saved that brings a run under ``size`` bytes; empty when none does.

    The order: fewer checkpoints, then checkpoints that cannot be resumed, then both.
    """
    for overrides in ((_LIMIT,), (_MODEL_ONLY,), (_LIMIT, _MODEL_ONLY)):
        if _MODEL_ONLY in overrides and _refused(subject):
            continue
        setup = read_setup(change(subject.recipe, overrides))
        if estimate_disk(subject.shape, setup, result.row.cost).total <= size:
            return overrides
    return ()


def _refused(subject: Subject) -> bool:
    """Whether the Trainer refuses ``save_only_model``: under DeepSpeed it cannot load the best of such checkpoints."""
    return subject.setup.zero is not None and subject.setup.values.get("load_best_model_at_end") is True


def disk_lines(subject: Subject, result: Result, size: float) -> list[str]:
    """Compare a run with the volume of ``--disk``, and say what to do when it is too small."""
    total = result.disk.total
    if total <= size:
        return [f"disk: {total / 1e9:.1f} GB fits in the {size / 1e9:.1f} GB of --disk"]
    lines = [f"disk: {total / 1e9:.1f} GB is more than the {size / 1e9:.1f} GB of --disk"]
    overrides = smaller_disk(subject, result, size)
    if not overrides:
        return [*lines, f"  next: rent a volume of at least {math.ceil(total / 1e9)} GB"]
    lines.append(f"  next: {subject.recipe.train_command(*overrides)}")
    if _MODEL_ONLY in overrides:
        lines.append("  a checkpoint of save_only_model cannot be resumed")
    return lines
