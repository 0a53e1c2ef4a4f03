"""One thread of a merge: copies by the kernel, and rows that are read, merged and written in pieces."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..safetensors_format import DTYPE_BITS
from .operations import FEWEST_ROWS, OutTensor
from .reading import read_into
from .work import Copy, Merge
from .writing import Writer, begin_writeback

#: Bytes that the kernel copies in one call: few calls, because each has to wait for Python while a library is imported.
_COPY_BYTES = 64 << 20


@dataclass
class Merged:
    """What was seen while rows were merged.

    Attributes:
        work: the rows.
        digest: xxh3 (128 bits) of the bytes that were written; of none when nobody reads them back.
        changed: whether any byte differs from the source; when nobody asks, it may.
        finite: whether no value is NaN or infinite.
    """

    work: Merge
    digest: str
    changed: bool
    finite: bool


class Engine(Protocol):
    """A module that computes: ``plain`` where it can, ``arithmetic`` for everything."""

    load: Any
    Scratch: Callable[[], Any]
    Rows: Callable[[OutTensor], Any]


class Worker:
    """One thread's share.

    Args:
        folder: where the files are.
        share: the work.
        piece: bytes that are merged at a time.
        engine: what merges; None for a share of copies.
        verified: whether what is merged is read back afterwards: it stays in memory then, and is hashed here.
    """

    def __init__(
        self,
        folder: Path,
        share: Sequence[Copy | Merge],
        piece: int = 0,
        engine: Engine | None = None,
        *,
        verified: bool = True,
    ) -> None:
        self.folder, self.share, self.piece, self.engine = folder, share, piece, engine
        self.verified, self._writer = verified, Writer(keep=verified)
        self.done = 0
        self.merged: list[Merged] = []
        self._open: dict[tuple[Path, int], int] = {}
        self._buffer = bytearray()

    def run(self, stop: threading.Event) -> None:
        """Do the share, until ``stop`` is set."""
        self._scratch = self.engine.Scratch() if self.engine else None
        with ExitStack() as stack:
            self._stack = stack
            for item in self.share:
                if stop.is_set():
                    return
                if isinstance(item, Copy):
                    self._copy(item, stop)
                else:
                    self.merged.append(self._merge(item, stop))
            self._writer.flush()

    def _file(self, path: Path, flags: int) -> int:
        """An open file; it stays open until the share is done."""
        if (path, flags) not in self._open:
            descriptor = os.open(path, flags)
            self._stack.callback(os.close, descriptor)
            self._open[path, flags] = descriptor
        return self._open[path, flags]

    def _copy(self, item: Copy, stop: threading.Event) -> None:
        source, target = self._file(item.source, os.O_RDONLY), self._file(self.folder / item.file, os.O_RDWR)
        done = 0
        while done < item.count and not stop.is_set():
            count = copy_range(
                source, target, item.start + done, item.place + done, min(_COPY_BYTES, item.count - done)
            )
            if count == 0:
                raise OSError(errno.EIO, "became shorter while it was copied", str(item.source))
            begin_writeback(target, item.place + done, count)
            done += count
            self.done += count

    def _merge(self, item: Merge, stop: threading.Event) -> Merged:
        import xxhash

        tensor = item.tensor
        assert self.engine is not None
        rows = self.engine.Rows(tensor)
        source, target = self._file(tensor.source.path, os.O_RDONLY), self._file(self.folder / item.file, os.O_RDWR)
        held = item.width * DTYPE_BITS[tensor.source.dtype] // 8
        step = item.last - item.first if tensor.whole else _piece_rows(held, self.piece)
        need = held * min(item.last - item.first, step + FEWEST_ROWS)
        if len(self._buffer) < need:
            self._buffer = bytearray(max(need, 2 * self.piece))
        digest, changed, finite = xxhash.xxh3_128(), tensor.source.dtype != tensor.dtype or not self.verified, True
        first = item.first
        while first < item.last and not stop.is_set():
            last = first + step if item.last - first >= step + FEWEST_ROWS else item.last
            view = memoryview(self._buffer)[: (last - first) * held]
            read_into(source, view, tensor.source.start + first * held, tensor.source.path)
            original = None if changed else xxhash.xxh3_64_intdigest(view)
            written, sound = rows.merge(view, first, self._scratch)
            finite = finite and sound
            if self.verified:
                digest.update(written)
            changed = changed or original != xxhash.xxh3_64_intdigest(written)
            self._writer.write(target, written, item.place + first * item.row_bytes)
            self.done += len(written)
            first = last
        return Merged(item, digest.hexdigest(), changed, finite)


def _piece_rows(row_bytes: int, piece: int) -> int:
    """How many rows a piece has: ``piece`` bytes of them in multiples of 16, at least ``FEWEST_ROWS``."""
    return max(FEWEST_ROWS, piece // max(1, row_bytes) // 16 * 16)


def copy_range(source: int, target: int, start: int, place: int, count: int) -> int:
    """Copy bytes inside the kernel, sharing blocks where the file system can; read and write where it cannot.

    Returns:
        How many bytes were copied; 0 at the end of the source.
    """
    try:
        return os.copy_file_range(source, target, count, start, place)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            raise
    data = os.pread(source, min(count, 1 << 20), start)
    writer = Writer(keep=True)
    writer.write(target, memoryview(data), place)
    writer.flush()
    return len(data)
