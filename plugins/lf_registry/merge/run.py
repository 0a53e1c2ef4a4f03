"""``lf-registry merge``: from a request to a finished model folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError, WrongUsage
from ..fingerprint import weights_fingerprint
from .adapter import read_adapter
from .aten import load_early
from .checkpoint import read_base
from .finish import (
    check_stops,
    tokenizer_folder,
    write_config,
    write_generation_config,
    write_index,
    write_report,
    write_tokenizer,
)
from .plan import Plan, make_plan
from .resolve import DTYPES, Request, adapter_folder, base_name, local_folder
from .safe import clean_leftovers, put_in_place, sync, temporary_folder
from .target import check_space, check_target

if TYPE_CHECKING:
    from .stream import Written

LEVELS = ("none", "tensors", "logits", "auto")


@dataclass(frozen=True)
class Result:
    """What a merge did.

    Attributes:
        out: the finished folder.
        seconds: writing the weights took so long.
        report: the content of ``merge_report.json``.
        notes: what the user should know.
    """

    out: Path
    seconds: float
    report: dict[str, Any]
    notes: tuple[str, ...]


def run_merge(
    request: Request, *, threads: int | None = None, verify: str = "auto", overwrite: bool = False, show: bool = True
) -> Result:
    """Merge.

    Args:
        request: what to merge.
        threads: for the weights; one per core, at most four, when left out.
        verify: ``none``; ``tensors``: read everything back; ``logits``: also run both models; ``auto``: ``logits``
            below 2 B parameters when they fit into memory, ``tensors`` otherwise.
        overwrite: replace a finished model.
        show: print progress to stderr when that is a terminal.

    Raises:
        UserError: something does not fit, or the result is not what it must be; nothing was changed then.
    """
    if verify not in LEVELS:
        raise WrongUsage(f"--verify: {verify!r} is not one of {', '.join(LEVELS)}")
    if request.dtype is not None and request.dtype not in DTYPES:
        raise WrongUsage(f"--dtype: {request.dtype!r} is not one of {', '.join(DTYPES)}")
    if request.template is not None:
        from .template import check_template

        check_template(request.template)
    load_early()
    folders = [adapter_folder(name, request.cache_dir) for name in request.adapters]
    adapters = [read_adapter(folder) for folder in folders]
    name, trained = (request.base, None) if request.base else base_name(folders[0])
    revision = request.revision or trained
    base = read_base(local_folder(name, what="base model", revision=revision, cache_dir=request.cache_dir))
    check_target(request.out, [base.folder, *folders], overwrite=overwrite)
    dtype = DTYPES[request.dtype] if request.dtype else None
    plan = make_plan(base, adapters, dtype=dtype, max_shard_size=request.max_shard_size)
    notes = [*request.notes, *clean_leftovers(request.out), *plan.notes]
    check_space(request.out, plan.size)
    level, why = _level(verify, plan, folders)
    notes += why
    threads = threads or min(4, os.cpu_count() or 1)
    with temporary_folder(request.out) as folder:
        write_config(base, plan.config, folder)
        write_index(plan, folder)
        tokenizer = tokenizer_folder(folders, base.folder)
        trust = request.trust_remote_code
        stops = write_tokenizer(tokenizer, base, folder, request.template, request.settings, trust=trust)
        check_stops(stops, plan, request.template)
        write_generation_config(base, stops, folder)
        if request.template is None:
            notes.append("no Ollama Modelfile was written, because no template was named: --template NAME")
        from .stream import write

        started = time.monotonic()
        with _bar("merging", plan.size, show) as progress:
            written = write(plan, folder, threads=threads, verified=level != "none", progress=progress)
        seconds = time.monotonic() - started
        report: dict[str, Any] = {
            "lf_registry": version("lf-registry"),
            "base": name,
            "revision": revision,
            "adapters": list(request.adapters),
            "template": request.template,
            "parameters": sum(prod(tensor.shape) for tensor in plan.tensors),
            "bytes": plan.size,
            "config_changes": plan.config,
            "verified": level,
        }
        if level != "none":
            found, more = _verify(plan, folder, written, threads, show)
            report["tensors"], notes = found, notes + more
        if level == "logits":
            found, more = _logits(base.folder, folders, folder, trust=trust, must=verify == "logits")
            report |= found
            notes += more
        # By the fingerprints a model card knows that what the adapter answered is this model's answer too.
        report |= {
            "adapter_fingerprints": [weights_fingerprint(adapter) for adapter in folders],
            "fingerprint": weights_fingerprint(folder),
            "notes": notes,
        }
        write_report(folder, report)
        for path in folder.iterdir():
            if path.is_file() and path.suffix != ".safetensors":
                sync(path)
        put_in_place(folder, request.out, overwrite=overwrite)
    return Result(request.out, seconds, report, tuple(notes))


def _verify(plan: Plan, folder: Path, written: Written, threads: int, show: bool) -> tuple[dict[str, Any], list[str]]:
    from .verify import bytes_to_read, verify_tensors

    with _bar("verifying", bytes_to_read(plan, written), show) as progress:
        found = verify_tensors(plan, folder, written, threads, progress)
    same = found["tensors_not_changed_by_their_delta"]
    if not same:
        return found, []
    return found, [f"{len(same)} tensors are as before: their delta is zero or below the type's resolution: {same[0]}"]


def _logits(
    base: Path, adapters: list[Path], merged: Path, *, trust: bool, must: bool
) -> tuple[dict[str, Any], list[str]]:
    """Compare the logits where base + adapters can be run; ``must``: an error where they cannot."""
    from .logits import NotComparable, compare_logits

    try:
        return {"logits": compare_logits(base, adapters, merged, trust=trust)}, []
    except NotComparable as error:
        if must:
            raise UserError(f"--verify logits: {error}", hint="--verify tensors") from None
        return {"verified": "tensors"}, [f"logits were not compared: {error}"]


def _level(asked: str, plan: Plan, folders: list[Path]) -> tuple[str, list[str]]:
    """How much is verified, and why less than usual."""
    if asked != "auto":
        return asked, []
    from .logits import MOST_PARAMETERS, free_memory, memory_needed

    if sum(prod(tensor.shape) for tensor in plan.tensors) >= MOST_PARAMETERS:
        return "tensors", []
    if memory_needed((tensor.name, tensor.shape) for tensor in plan.tensors) > free_memory():
        return "tensors", ["logits were not compared: too little memory is free for a block of the model in fp32"]
    return "logits", []


@contextmanager
def _bar(doing: str, total: int, show: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar by bytes, with speed, on a terminal; nothing elsewhere. Takes the number of bytes done so far."""
    if not show or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(doing), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda done: progress.update(task, completed=done)
