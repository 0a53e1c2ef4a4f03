"""Keys that the installed Transformers still takes and is about to drop, or takes and no longer reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..recipes import Recipe
from .facts import number, stage, text, warning
from .report import Finding

Values = dict[str, Any]


def warmup(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """``warmup_ratio``, which Transformers 5 copies into ``warmup_steps`` (``TrainingArguments.__post_init__``)."""
    ratio = number(values, "warmup_ratio") if "warmup_ratio" in values else None
    if ratio is None:
        return
    if "warmup_steps" in values:
        yield warning(
            recipe,
            "no-effect",
            "warmup_steps",
            "`warmup_ratio:` replaces it",
            f"remove one of the two, best `warmup_ratio:`, which is deprecated (`warmup_steps: {ratio}` is the same)",
        )
    elif ratio == 1:
        yield warning(
            recipe,
            "deprecated",
            "warmup_ratio",
            "Transformers copies it into `warmup_steps:`, where 1 is one step, not the whole run",
            "write `warmup_steps: 0.1` for a tenth of all steps",
        )
    elif 0 <= ratio < 1:
        yield warning(
            recipe,
            "deprecated",
            "warmup_ratio",
            "Transformers 5 is about to drop it: a share of all steps is now `warmup_steps:` below 1",
            f"write `warmup_steps: {ratio}`",
        )


def logs(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """``logging_dir``, which only LLaMA-Factory's PPO still reads."""
    folder = text(values, "logging_dir") if "logging_dir" in values else None
    if folder and stage(values) != "ppo":
        yield warning(
            recipe,
            "deprecated",
            "logging_dir",
            "Transformers 5 takes it and does not read it: TensorBoard's files go to `runs/` in output_dir",
            f"remove it, and set the environment variable: TENSORBOARD_LOGGING_DIR={folder}",
        )


RULES = (warmup, logs)
