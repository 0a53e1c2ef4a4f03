"""What a killed process leaves where PyTorch builds DeepSpeed's operators: a lock that nobody will ever take away.

DeepSpeed compiles some operators when they are first used (CPU Adam under offload, for example). PyTorch guards each
with a file ``lock``; a process that finds it waits until it is gone, without a word and without an end.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

#: With several nodes the folder may be shared, and the builder be on another one; no operator takes this many seconds.
_LONGEST_BUILD = 1800.0


def root() -> Path:
    """PyTorch's folder of builds, as ``torch.utils.cpp_extension`` finds it."""
    named = os.environ.get("TORCH_EXTENSIONS_DIR")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "torch_extensions"


def release_abandoned(folder: Path | None = None, *, nodes: int = 1) -> list[Path]:
    """Remove the locks that no living process holds; PyTorch keeps the file open for as long as it builds.

    Args:
        folder: where to look; PyTorch's when left out.
        nodes: on which the run trains; with several, only what is older than any build is taken for abandoned.

    Returns:
        The folders of the operators whose lock was removed.
    """
    folder = root() if folder is None else folder
    found = {path: state for path in [*folder.glob("*/lock"), *folder.glob("*/*/lock")] if (state := _stat(path))}
    if not found:
        return []
    held = _held({state.st_uid for state in found.values()})
    freed = []
    for path, state in found.items():
        old = nodes == 1 or time.time() - state.st_mtime > _LONGEST_BUILD
        mine = os.getuid() in (0, state.st_uid)  # of other users' processes it cannot be told what they hold
        now = _stat(path)
        if old and mine and (state.st_dev, state.st_ino) not in held and now and now.st_ino == state.st_ino:
            path.unlink(missing_ok=True)
            freed.append(path.parent)
    return freed


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _held(users: set[int]) -> set[tuple[int, int]]:
    """(device, inode) of the files that processes of these users have open."""
    held = set()
    for process in Path("/proc").glob("[0-9]*"):
        owner = _stat(process)
        if owner is None or owner.st_uid not in users | {0}:
            continue
        try:
            descriptors = list((process / "fd").iterdir())
        except OSError:
            continue  # it has ended, or may not be asked
        held |= {(state.st_dev, state.st_ino) for path in descriptors if (state := _stat(path))}
    return held
