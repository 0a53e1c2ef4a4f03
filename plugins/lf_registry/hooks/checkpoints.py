"""Hook on ``llamafactory.hparams.parser``: resume from the newest checkpoint that is whole.

Stock LLaMA-Factory resumes from the folder with the highest number. After a kill in the middle of a save that folder is
half of a checkpoint, and every further start fails in it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import UserError, did_you_mean
from ..resume.aside import set_aside
from ..resume.choose import Choice, Run, View, choose, refuse_ppo
from ..resume.lock import lock
from ..resume.look import NAME, checkpoints, look

#: Whether this process is about to train. The same parser serves a check, which must not rename or lock anything.
_training = ContextVar("training", default=False)


@contextmanager
def about_to_train() -> Iterator[None]:
    """Within this context the parsed arguments are those of a run, and its output folder is put in order."""
    token = _training.set(True)
    try:
        yield
    finally:
        _training.reset(token)


def apply(module: ModuleType) -> None:
    """Look at the checkpoints as soon as the arguments are parsed, in all processes, and answer with what was found."""
    found: dict[str, str | None] = {}
    original = module.get_last_checkpoint

    def looking(parse: Callable[..., Any]) -> Callable[..., Any]:
        def parse_and_look(args: Any = None) -> Any:
            parsed = parse(args)
            if _training.get():
                found.update(_look_for(parsed[2], parsed[3]))
            return parsed

        return parse_and_look

    for name in ("_parse_train_args", "_parse_train_mca_args"):
        setattr(module, name, looking(getattr(module, name)))

    def get_last_checkpoint(folder: str) -> str | None:
        return found[folder] if folder in found else original(folder)

    module.get_last_checkpoint = get_last_checkpoint


def _look_for(training: Any, finetuning: Any) -> dict[str, str | None]:
    """(output folder -> checkpoint), under the conditions under which LLaMA-Factory resumes by itself.

    All processes come here, also those of a node without that folder: stock looks only where it exists.
    """
    starts_over = getattr(training, "overwrite_output_dir", False) or (
        finetuning.stage in ("rm", "ppo") and finetuning.finetuning_type in ("full", "freeze")
    )
    if not training.do_train or starts_over:
        return {}
    if finetuning.stage == "ppo":
        if training.resume_from_checkpoint is None:
            _in_first(lambda: refuse_ppo(training.output_dir, checkpoints(training.output_dir)))
        return {}
    run = _run(training.output_dir, training, finetuning)
    if training.resume_from_checkpoint in (True, "true", "True"):
        training.resume_from_checkpoint = None  # "the last one" for Transformers, which would take a broken one
    if training.resume_from_checkpoint is None:
        return {training.output_dir: last_checkpoint(run)}
    named = Path(str(training.resume_from_checkpoint))
    if NAME.match(named.name):
        last_checkpoint(run, named)
    return {}


def _run(folder: str, training: Any, finetuning: Any) -> Run:
    config = getattr(training, "deepspeed", None)
    if isinstance(config, str) and Path(config).is_file():
        config = json.loads(Path(config).read_text(encoding="utf-8"))
    universal = isinstance(config, dict) and bool((config.get("checkpoint") or {}).get("load_universal"))
    return Run(
        folder,
        world_size=int(os.environ.get("WORLD_SIZE", "1")),
        deepspeed=bool(config),
        universal=universal,
        save_only_model=bool(getattr(training, "save_only_model", False)),
        lora=getattr(finetuning, "finetuning_type", "lora") in ("lora", "oft"),
    )


def last_checkpoint(run: Run, named: Path | None = None) -> str | None:
    """The newest whole checkpoint in the output folder; broken ones that are newer are set aside.

    All processes of the run call this at the same time and get the same answer: the first process of each node looks,
    everybody learns what all nodes saw, and the choice follows from that.

    Args:
        run: what is about to start.
        named: the checkpoint that the recipe names, if it does; when it is broken that is an error.

    Raises:
        UserError: in the first process; the others exit, because one message is enough.
    """
    return _in_first(lambda: _last_checkpoint(run, named))


def _last_checkpoint(run: Run, named: Path | None) -> str | None:
    first, leader = _rank("RANK") == 0, _rank("LOCAL_RANK") == 0 or not _connected()
    path = Path(run.output_dir)
    views = _gather(lambda: _view(path, named, locks=first) if leader else None)
    choice = choose([view for view in views if view is not None], run)
    if named is not None and choice.broken:
        raise UserError(
            [f"{named}: {problem}" for problem in choice.broken[named.name]],
            hint="name another checkpoint, or remove resume_from_checkpoint: the newest whole one is then found",
        )
    _gather(lambda: _clear(path, choice, speaks=first) if leader else None)
    if first:
        for line in _told(run.output_dir, choice):
            print(f"lf-registry: {line}", file=sys.stderr, flush=True)
    return None if choice.resume is None else str(path / choice.resume)


def _in_first(work: Callable[[], Any]) -> Any:
    """Do it in all processes; one message is enough, so the error of the others is only their exit code."""
    try:
        return work()
    except UserError:
        if _rank("RANK") == 0:
            raise
        sys.exit(1)


def _view(path: Path, named: Path | None, *, locks: bool) -> View:
    if named is not None and not named.is_dir():
        there = [checkpoint.name for checkpoint in checkpoints(named.parent)]
        raise UserError(
            f"resume_from_checkpoint: {named} does not exist; {did_you_mean(named.name, there, kind='checkpoints')}",
            hint="name one that exists, or remove resume_from_checkpoint: the newest whole one is then found",
        )
    if locks and path.is_dir():
        lock(path)
    return {checkpoint.name: look(checkpoint) for checkpoint in (checkpoints(path) if named is None else [named])}


def _clear(path: Path, choice: Choice, *, speaks: bool) -> None:
    for name, problems in choice.broken.items():
        moved = set_aside(path / name)
        if speaks:
            told = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
            place = moved.name if moved else f"broken-{name}"
            print(
                f"lf-registry: {path / name} is broken and was set aside as {place}: {told}\n"
                f"  next: nothing; delete it when you need the room: rm -r {path / place}",
                file=sys.stderr,
                flush=True,
            )


def _told(folder: str, choice: Choice) -> list[str]:
    told = list(choice.notes)
    if choice.broken:
        told.append(
            f"the run goes on from {folder}/{choice.resume}"
            if choice.resume
            else f"there is no whole checkpoint in {folder}, so the run starts over from step 0"
        )
    return told


def _rank(name: str) -> int:
    return int(os.environ.get(name, "0"))


def _connected() -> bool:
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized()


def _gather(work: Callable[[], Any]) -> list[Any]:
    """Do this process's part, and return what all processes got, in the order of their ranks.

    Raises:
        UserError: any process's; in all of them, so that none waits for another one for ever.
    """
    try:
        mine = work()
    except UserError as error:
        mine = error
    everything = [mine]
    if _connected():
        import torch.distributed as dist

        everything = [None] * dist.get_world_size()
        dist.all_gather_object(everything, mine)
    for result in everything:
        if isinstance(result, UserError):
            raise result
    return everything
