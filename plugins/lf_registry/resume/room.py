"""Room for checkpoints: seen before a save begins, and explained when a save failed for want of it."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from ..errors import UserError
from .judge import validate
from .look import checkpoints

#: ``torch.save`` says no more than this when the disk is full; safetensors and Python name the reason.
_WRITING = re.compile(r"inline_container|PytorchStreamWriter|unexpected pos")
_FULL = re.compile(r"No space left on device|Disk quota exceeded|os error (28|122)\b")
#: With less than this free, a write that failed without a reason failed for want of room.
_LITTLE = 64 << 20


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder; a file that goes away meanwhile counts nothing."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(place) / name).stat().st_size
            except OSError:
                continue
    return total


def free_bytes(folder: Path) -> int | None:
    """What can still be written; None where the file system does not say (it reports a size of zero)."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize if found.f_blocks else None


def check_room(folder: Path, needed: int, step: int) -> None:
    """Refuse a save for which there is too little room, before a byte of it is written.

    Args:
        folder: the output folder.
        needed: bytes of the last checkpoint that this run wrote; 0: nothing is known.
        step: of the save.

    Raises:
        UserError: says how much is missing, and where the run goes on.
    """
    free = free_bytes(folder)
    if needed and free is not None and free < needed:
        raise UserError(
            f"{folder}: checkpoint-{step} takes about {_size(needed)} and {_size(free)} are free, so it was not begun; "
            + _whole(folder),
            hint=_make_room(folder, needed - free),
        )


def explained(error: BaseException, folder: Path) -> UserError | None:
    """The message for a failed write when the disk is full; None when the error has another cause."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    free = free_bytes(folder) if folder.is_dir() else None
    full = any(
        (isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT)) or _FULL.search(str(link))
        for link in chain
    ) or (free is not None and free < _LITTLE and any(_WRITING.search(str(link)) for link in chain))
    if not full:
        return None
    left = "" if free is None else f" ({_size(free)} free; a quota may be lower)"
    return UserError(
        f"{folder}: the disk is full{left}, so the run could not save; {_whole(folder)}",
        hint=_make_room(folder, None),
    )


def _whole(folder: Path) -> str:
    found = checkpoints(folder)
    broken = [path.name for path in found if validate(path)]
    whole = next((path.name for path in found if path.name not in broken), None)
    begun = f" ({', '.join(broken)}: begun, not finished)" if broken else ""
    return (f"{whole} is whole" if whole else "there is no whole checkpoint yet") + begun


def _make_room(folder: Path, missing: int | None) -> str:
    """What to delete, the useless first."""
    useless = [path for path in checkpoints(folder) if validate(path)]
    useless += sorted(folder.glob("broken-checkpoint-*"))
    amount = "make room" if missing is None else f"make {_size(missing)} of room"
    if useless:
        amount += f" (rm -r {' '.join(str(path) for path in useless)} frees {_size(sum(map(size_of, useless)))})"
    return f"{amount} and run the same command again: it goes on from the last whole checkpoint"


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
