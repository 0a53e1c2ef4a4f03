"""What a run writes: the folder, checkpoints, and how long it goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..recipes import Recipe
from .facts import error, evaluates, get, is_on, method, number, stage, text, uses_fsdp, warning
from .report import Finding
from .steps import steps

Values = dict[str, Any]

_CHECKPOINT = re.compile(r"checkpoint-(\d+)$")
#: LLaMA-Factory's ``CHECKPOINT_NAMES``: with one of these and no checkpoint, it refuses the folder.
_WEIGHTS = (
    "adapter_model.safetensors",
    "adapter_model.bin",
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)


def _last_checkpoint(folder: Path) -> Path | None:
    try:
        found = [path for path in folder.iterdir() if _CHECKPOINT.match(path.name) and path.is_dir()]
    except OSError:
        return None
    return max(found, key=lambda path: int(path.name.split("-")[1]), default=None)


def output_folder(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """What is in the output folder already: it is resumed, refused, or written over."""
    given = text(values, "output_dir")
    if given is None or not is_on(values, "do_train"):
        return
    folder = Path(given).expanduser()
    if folder.is_file():
        yield error(recipe, "output-dir", "output_dir", f"{given} is a file", "name a folder")
        return
    resume = get(values, "resume_from_checkpoint")
    if isinstance(resume, str) and resume and not Path(resume).is_dir():
        yield error(
            recipe,
            "not-found",
            "resume_from_checkpoint",
            f"there is no folder {resume} (paths start at the current folder)",
            "correct it, or remove it: the last checkpoint in output_dir is found by itself",
        )
    last = _last_checkpoint(folder)
    from_anew = stage(values) in ("rm", "ppo") and method(values) in ("full", "freeze")
    if is_on(values, "overwrite_output_dir"):
        if last is not None:
            yield warning(
                recipe,
                "output-dir",
                "overwrite_output_dir",
                f"{given} has checkpoints up to {last.name}; the run starts over and writes among them",
                "choose another output_dir, or move the folder away",
            )
    elif resume is None and not from_anew and last is not None:
        yield from _resume(values, recipe, last)
    elif resume is None and not from_anew and any((folder / name).is_file() for name in _WEIGHTS):
        yield error(
            recipe,
            "output-dir",
            "output_dir",
            f"{given} holds the weights of a finished run, and LLaMA-Factory refuses to write over them",
            "choose another output_dir, or set `overwrite_output_dir: true`",
        )


def _resume(values: Values, recipe: Recipe, last: Path) -> Iterator[Finding]:
    start_over = "`overwrite_output_dir: true` starts over"
    if get(values, "deepspeed") and not any(last.glob("global_step*")):
        yield error(
            recipe,
            "resume",
            "output_dir",
            f"the run would go on from {last}, which has no DeepSpeed state (`save_only_model: true` leaves it out), "
            "and stops there",
            f"choose another output_dir; {start_over}",
        )
        return
    fresh = not (last / "optimizer.pt").is_file() and not get(values, "deepspeed") and not uses_fsdp(values)
    optimizer = ", with a new optimizer, because it holds weights only" if fresh else ""
    yield warning(
        recipe,
        "resume",
        "output_dir",
        f"the run goes on from {last}{optimizer}; it does not start from the model",
        f"nothing, if that is meant; otherwise choose another output_dir ({start_over})",
    )


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
    if "warmup_steps" in values and get(values, "warmup_ratio") is not None:
        yield warning(
            recipe,
            "no-effect",
            "warmup_steps",
            "`warmup_ratio:` replaces it",
            "remove one of the two (`warmup_steps: 0.1` means a tenth of all steps as well)",
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


RULES = (output_folder, length_of_run, best_model, whole_steps, checkpointing)
