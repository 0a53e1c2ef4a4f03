"""Disk: what a job will write, beside what is free, before anything is trained."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError, WrongUsage
from ..estimate.disk_change import smaller_disk
from ..estimate.gpu_names import parse_gpus
from ..estimate.gpus import Gpu, load_gpus
from ..estimate.run import Result, Subject, all_rows, read_subject, result_of, row_of
from ..resume.room import free_bytes, size_of
from .machine import Gpus
from .places import Volume
from .plan import Plan, is_local

#: A file system of this size is the storage behind a network volume; the volume ends at the size that was rented.
_STORAGE = 20 << 40
#: What is kept free besides: logs, plots, tokenizer files.
_RESERVE = 1 << 30


@dataclass(frozen=True)
class Forecast:
    """An estimate of the job on this machine.

    Attributes:
        subject, result: of ``lf-registry estimate``.
        gpu: the type of the GPUs here; None: none, or an unknown one.
        count: how many.
    """

    subject: Subject
    result: Result
    gpu: Gpu | None
    count: int

    @property
    def dollars(self) -> float | None:
        """An hour, for all GPUs, by the list; None: not known."""
        return None if self.gpu is None or self.gpu.dollars is None else self.gpu.dollars * self.count


def forecast(plan: Plan, gpus: Gpus) -> Forecast:
    """Estimate the recipe on these GPUs; without (known) ones the cheapest that fit stand in for the steps.

    Raises:
        UserError: the model or the recipe cannot be estimated.
    """
    known = load_gpus()
    subject = read_subject(plan.recipe)
    try:
        found = parse_gpus(f"{len(gpus.names)}x{gpus.names[0]}", known) if gpus.names else None
    except WrongUsage:
        found = None
    row = row_of(subject, *found) if found else all_rows(subject, known)[0]
    return Forecast(subject, result_of(subject, row, known), found[1] if found else None, len(gpus.names))


@dataclass
class _Disk:
    path: Path
    parts: list[tuple[str, float]] = field(default_factory=list)

    @property
    def needed(self) -> float:
        return sum(size for _, size in self.parts) + _RESERVE


def check_room(
    plan: Plan, seen: Forecast, volume: Volume, environment: Mapping[str, str], rented: float | None = None
) -> list[str]:
    """Compare what will still be written on each disk with what is free there.

    Args:
        plan: where outputs go.
        seen: how large they are.
        volume: where ``rented`` applies.
        environment: of the stages, for the download's place.
        rented: the volume's size in bytes, when the file system shows another one.

    Returns:
        What fits, one sentence a disk.

    Raises:
        UserError: how much is missing on which disk, and the change that makes it fit.
    """
    disk, disks = seen.result.disk, {}  # type: ignore[var-annotated]

    def add(place: Path, what: str, size: float, there: int) -> None:
        if size > 0:
            existing = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
            on = disks.setdefault(existing.stat().st_dev, _Disk(existing))
            on.parts.append((what, max(0.0, size - there)))

    model = plan.recipe.values.get("model_name_or_path")
    if not is_local(model):
        cache = hub_cache(environment, plan.recipe.values.get("cache_dir"))
        add(cache, "the model", disk.download, size_of(cache / f"models--{str(model).replace('/', '--')}" / "blobs"))
    kept = f"{disk.kept} checkpoints and the output" if disk.kept != 1 else "a checkpoint and the output"
    add(plan.output, kept, disk.checkpoint * disk.kept + disk.output, size_of(plan.output))
    if plan.merged is not None:
        add(plan.merged, "the merged model", disk.merged or disk.download, size_of(plan.merged))
    problems, said, suggestion = [], [], ()
    for on in disks.values():
        free, how = _free(on.path, volume, rented)
        parts = ", ".join(f"{what} {_size(size)}" for what, size in on.parts)
        if free is None:
            said.append(f"{on.path}: {how}; this job writes {_size(on.needed)} ({parts})")
        elif free < on.needed:
            problems.append(
                f"{on.path}: {_size(on.needed - free)} are missing: this job writes {_size(on.needed)} ({parts}), and "
                f"{_size(free)} are free{how}"
            )
            suggestion = suggestion or smaller_disk(seen.subject, seen.result, max(0, disk.total - on.needed + free))
        else:
            said.append(f"{on.path}: {_size(free)} free{how}, this job writes {_size(on.needed)} ({parts})")
    if problems:
        # Checkpoints of weights alone would fit too, but nothing goes on from them.
        resumes = suggestion and not any("save_only_model" in text for text in suggestion)
        change = f"add {' '.join(suggestion)} behind the recipe, or " if resumes else ""
        raise UserError(problems, hint=f"{change}make room, or rent a larger volume; nothing was trained yet")
    return said


def _free(path: Path, volume: Volume, rented: float | None) -> tuple[float | None, str]:
    if volume.path is not None and volume.holds(path):
        if rented is not None:
            return rented - size_of(volume.path), f" of the {_size(rented)} of --volume-size"
        if os.statvfs(path).f_blocks * os.statvfs(path).f_frsize > _STORAGE:
            return None, "the size of the storage is shown, not that of your volume (--volume-size 200GB compares)"
    free = free_bytes(path)
    return free, "" if free is not None else "its free space is not shown"


def hub_cache(environment: Mapping[str, str], given: object = None) -> Path:
    """Where the Hub's models are downloaded to."""
    home = Path(environment.get("HF_HOME") or Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(str(given or environment.get("HF_HUB_CACHE") or home / "hub")).expanduser()


def remarks(plan: Plan, seen: Forecast, gpus: Gpus) -> list[str]:
    """What is no reason to stop, and worth knowing before paying: the fit, the batch, checkpoints, the time."""
    row, values = seen.result.row, plan.recipe.values
    said = []
    batch, accumulation = (int(values.get(f"{key}", 1)) for key in ("per_device_train_batch_size", _ACCUMULATION))
    count = max(1, len(gpus.names))
    said.append(f"effective batch {batch} x {accumulation} x {count} = {batch * accumulation * count}")
    if seen.gpu is not None and not row.fits:
        change = seen.result.suggestion
        fix = f"; it would with {' '.join(change.overrides)}" if change else ""
        said.append(f"warning: by the estimate this does not fit on {gpus} ({row.why_not or 'memory'}){fix}")
    if row.cost is None:
        return said
    if seen.gpu is not None:
        price = f", ${row.cost.dollars:.2f} (listed {seen.gpu.as_of})" if row.cost.dollars is not None else ""
        said.append(f"estimated {row.cost.hours:.2f} h of training{price}, without download and start")
    steps, every = row.cost.steps, values.get("save_steps", 500)
    if values.get("save_strategy", "steps") == "steps" and isinstance(every, int) and every * 2 > steps:
        few = max(1, steps // 10)
        said.append(
            f"warning: a checkpoint every {every} of {steps} steps: a pod that is taken away loses up to "
            f"{min(every, steps)} steps; save_steps={few} behind the recipe saves ten times"
        )
    elif values.get("save_strategy") in ("no", False):
        said.append("warning: save_strategy: no checkpoint is saved, so a training that is interrupted starts over")
    return said


_ACCUMULATION = "gradient_accumulation_steps"


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
