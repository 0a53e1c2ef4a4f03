"""Read bytes of weight files. They are read, not mapped: mapped files count as memory."""

from __future__ import annotations

import os

from .checkpoint import Part


def read_into(descriptor: int, view: memoryview, offset: int, path: os.PathLike[str]) -> None:
    """Fill ``view`` from byte ``offset`` of a file.

    Raises:
        OSError: the file is shorter than its header said a moment ago.
    """
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if count == 0:
            raise OSError(0, f"{path} became shorter while it was read")
        done += count


def part_bytes(part: Part) -> bytearray:
    """The bytes of a tensor.

    Raises:
        OSError: as ``read_into``.
    """
    data = bytearray(part.end - part.start)
    with open(part.path, "rb", buffering=0) as stream:  # noqa: PTH123, Path.open has no readinto in a loop
        read_into(stream.fileno(), memoryview(data), part.start, part.path)
    return data
