"""The output folder, and what is in it already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import is_dir, is_file
from ..recipes import Recipe
from ..resume.choose import refuse_ppo
from ..resume.judge import validate
from ..resume.look import checkpoints
from .facts import error, get, is_on, method, stage, text, uses_fsdp, warning
from .report import Finding

Values = dict[str, Any]

#: LLaMA-Factory's ``CHECKPOINT_NAMES``: with one of these and no checkpoint, it refuses the folder.
_WEIGHTS = (
    "adapter_model.safetensors",
    "adapter_model.bin",
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)


def output_folder(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """What is in the output folder already: it is resumed, refused, or written over."""
    given = text(values, "output_dir")
    if given is None or not is_on(values, "do_train"):
        return
    folder = Path(given).expanduser()
    if is_file(folder):
        yield error(recipe, "output-dir", "output_dir", f"{given} is a file", "name a folder")
        return
    resume = get(values, "resume_from_checkpoint")
    if isinstance(resume, str) and resume and not is_dir(resume):
        yield error(
            recipe,
            "not-found",
            "resume_from_checkpoint",
            f"there is no folder {resume} (paths start at the current folder)",
            "correct it, or remove it: the last checkpoint in output_dir is found by itself",
        )
    found = checkpoints(folder) if is_dir(given) else []
    last = found[0] if found else None
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
        yield from _resume_newest(values, recipe, found)
    elif resume is None and not from_anew and any(is_file(folder / name) for name in _WEIGHTS):
        yield error(
            recipe,
            "output-dir",
            "output_dir",
            f"{given} holds the weights of a finished run, and LLaMA-Factory refuses to write over them",
            "choose another output_dir, or set `overwrite_output_dir: true`",
        )


def _resume_newest(values: Values, recipe: Recipe, found: list[Path]) -> Iterator[Finding]:
    """The newest whole checkpoint is resumed from; what is newer and broken is set aside by then."""
    if stage(values) == "ppo":
        try:
            refuse_ppo(str(get(values, "output_dir")), found)
        except UserError as refused:
            yield error(recipe, "resume", "output_dir", refused.problems[0], refused.hint or "")
        return
    for place, path in enumerate(found):
        try:
            problems = validate(path)
        except UserError as failed:
            yield error(recipe, "resume", "output_dir", failed.problems[0], failed.hint or "make it readable")
            return
        if not problems:
            yield from _resume(values, recipe, path)
            return
        older = "the next older one is tried" if place + 1 < len(found) else "the run starts over"
        yield warning(
            recipe,
            "broken-checkpoint",
            "output_dir",
            f"{path} is broken ({problems[0]}); it will be set aside as broken-{path.name}, and {older}",
            "nothing; delete it when you need the room",
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
    fresh = not is_file(last / "optimizer.pt") and not get(values, "deepspeed") and not uses_fsdp(values)
    optimizer = ", with a new optimizer, because it holds weights only" if fresh else ""
    yield warning(
        recipe,
        "resume",
        "output_dir",
        f"the run goes on from {last}{optimizer}; it does not start from the model",
        f"nothing, if that is meant; otherwise choose another output_dir ({start_over})",
    )


RULES = (output_folder,)
