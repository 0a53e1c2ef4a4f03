"""``save_total_limit`` without the moment in which no whole checkpoint exists.

Transformers deletes old checkpoints in the first process right after it wrote its own part of the new one: the other
processes may still be writing theirs, the new files may still be in memory only, and "newest" is decided by the time of
the folders, which a copy, or a file written into an old folder, changes.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .judge import judge
from .look import checkpoints, look, step_of


def rotate(folder: str | Path, limit: int | None, best: str | None = None, *, step: int) -> list[str]:
    """Delete the oldest checkpoints (by step) down to ``limit``, after every process has saved.

    The new one is written out to the disk and judged first. While it is not whole, nothing is deleted. Those of a
    higher step are an earlier run's, which this one began again (``overwrite_output_dir``): the oldest of all.

    Args:
        folder: the output folder.
        limit: ``save_total_limit``; None or 0: keep all.
        step: of the new checkpoint.
        best: the best checkpoint so far, which is kept as Transformers does.

    Returns:
        Why nothing was deleted, one sentence each; usually nothing.

    Raises:
        OSError: the new checkpoint cannot be written out to the disk.
    """
    found = checkpoints(folder)
    if not limit or limit < 0 or len(found) <= limit:
        return []
    newest = Path(folder) / f"checkpoint-{step}"
    problems = judge(newest.name, [look(newest)]).problems
    if problems:
        return [f"no old checkpoint was deleted (save_total_limit), because {newest} is not whole: {problems[0]}"]
    write_out(newest)
    kept = {newest, *(path for path in found if best and path.resolve() == Path(best).resolve())}
    surplus = len(found) - max(limit, len(kept))
    for path in sorted(found, key=lambda path: (step_of(path.name) <= step, step_of(path.name))):
        if surplus > 0 and path not in kept:
            shutil.rmtree(path, ignore_errors=True)
            surplus -= 1
    return []


def write_out(folder: Path) -> None:
    """Wait until a folder's files are on the disk (``fsync``): a machine that is cut off loses what is in memory.

    Raises:
        OSError: the disk refuses, for example because it is full.
    """
    for place, _, files in os.walk(folder):
        for name in [*files, "."]:
            descriptor = os.open(Path(place) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
