"""How long a run is, and what happens on the way: saving, evaluating, stopping."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..recipes import Recipe
from .facts import error, evaluates, get, is_on, number, uses_fsdp, warning
from .report import Finding
from .steps import steps

Values = dict[str, Any]


def length_of_run(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """How long the run is, and whether it is saved and evaluated on the way."""
    if not is_on(values, "do_train"):
        return
    if (number(values, "max_steps") or -1) > 0 and "num_train_epochs" in values:
        yield warning(
            recipe,
            "no-effect",
            "num_train_epochs",
            f"`max_steps: {values['max_steps']}` decides alone how long the run is",
            "remove one of the two",
        )
    whole = steps(values)
    known = "" if (number(values, "max_steps") or -1) > 0 else " (on one GPU; fewer on several)"
    for key, strategy, what in (
        (
            "save_steps",
            "save_strategy",
            "no checkpoint is written before the end, and an interruption loses everything",
        ),
        ("eval_steps", "eval_strategy", "the run is never evaluated"),
    ):
        every = number(values, key)
        if key in values and whole and every and get(values, strategy) == "steps" and every > whole:
            yield warning(
                recipe,
                "too-late",
                key,
                f"the run has {whole} steps{known}, so that {what}",
                f"set `{key}:` below {whole}, or `{strategy}: epoch`",
            )


def best_model(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Keeping the best checkpoint, and stopping early."""
    best, saves, evaluation = (
        is_on(values, "load_best_model_at_end"),
        get(values, "save_strategy"),
        get(values, "eval_strategy"),
    )
    if best and saves != "best":
        every, other = number(values, "save_steps"), number(values, "eval_steps") or number(values, "logging_steps")
        if saves != evaluation:
            yield error(
                recipe,
                "best-model",
                "load_best_model_at_end",
                f"the best checkpoint must be saved when it is evaluated: save_strategy is {saves}, eval_strategy "
                f"{evaluation}",
                f'set `save_strategy:` and `eval_strategy:` to the same value, "{saves if saves != "no" else "epoch"}"',
            )
        elif saves == "steps" and every and other and min(every, other) > 0 and not _is_multiple(every, other):
            yield error(
                recipe,
                "best-model",
                "load_best_model_at_end",
                f"save_steps ({every:g}) must be a multiple of eval_steps ({other:g})",
                "set both to the same number",
            )
    split = get(values, "deepspeed") or uses_fsdp(values)
    if best and split and is_on(values, "save_only_model"):
        yield error(
            recipe,
            "best-model",
            "load_best_model_at_end",
            "DeepSpeed and FSDP cannot load a checkpoint that holds weights only (`save_only_model: true`)",
            "remove one of the two",
        )
    if saves == "best" and not best and get(values, "metric_for_best_model") is None:
        yield error(
            recipe,
            "missing-key",
            "metric_for_best_model",
            "`save_strategy: best` needs to know what to compare",
            "add `load_best_model_at_end: true`, or `metric_for_best_model: loss`",
        )
    stops = get(values, "early_stopping_steps") is not None
    if stops and not (evaluates(values) and evaluation != "no"):
        yield error(
            recipe,
            "missing-key",
            "eval_strategy",
            "`early_stopping_steps:` stops by the evaluation, and there is none",
            "add `eval_strategy: steps` and `eval_steps:`",
        )
    elif stops and not best and get(values, "metric_for_best_model") is None:
        yield error(
            recipe,
            "missing-key",
            "metric_for_best_model",
            "`early_stopping_steps:` needs to know what to compare",
            "add `load_best_model_at_end: true`, or `metric_for_best_model: loss`",
        )
    if get(values, "lr_scheduler_type") in ("reduce_lr_on_plateau", "greedy") and evaluation == "no":
        yield error(
            recipe,
            "missing-key",
            "eval_strategy",
            f"`lr_scheduler_type: {values['lr_scheduler_type']}` follows the evaluation, and there is none",
            "add `eval_strategy: steps` and `eval_steps:`",
        )


def _is_multiple(every: float, other: float) -> bool:
    """As Transformers decides it: steps with steps, or shares of the run with shares."""
    if (every < 1) != (other < 1):
        return False
    return (every * 1_000_000) % (other * 1_000_000) == 0 if every < 1 else every % other == 0


def whole_steps(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Above 1, the number of steps between two logs, saves or evaluations is a whole number."""
    for key, strategy in (
        ("logging_steps", "logging_strategy"),
        ("save_steps", "save_strategy"),
        ("eval_steps", "eval_strategy"),
    ):
        every = number(values, key)
        if get(values, strategy) == "steps" and every is not None and every > 1 and every % 1 != 0:
            yield error(
                recipe,
                "out-of-range",
                key,
                f"{every} is neither a number of steps nor, below 1, a share of the run",
                f"write `{key}: {max(1, round(every)) if every < 1e15 else 100}`",
            )


def checkpointing(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Gradient checkpointing, for which LLaMA-Factory has a key of its own."""
    if "gradient_checkpointing" not in values:
        return
    asked, off = is_on(values, "gradient_checkpointing"), is_on(values, "disable_gradient_checkpointing")
    if asked == off:
        yield warning(
            recipe,
            "no-effect",
            "gradient_checkpointing",
            "LLaMA-Factory switches gradient checkpointing on by itself, unless `disable_gradient_checkpointing: true`"
            if not asked
            else "switches on again what `disable_gradient_checkpointing: true` switches off",
            "write `disable_gradient_checkpointing: true` instead" if not asked else "remove one of the two",
        )


RULES = (length_of_run, best_model, whole_steps, checkpointing)
