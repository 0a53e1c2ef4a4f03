"""One thread of a merge: copies by the kernel, and rows that are read, merged and written in pieces."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .work import Copy, Merge

#: Bytes that the kernel copies in one call: few calls, because each has to wait for Python while torch is imported.
_COPY_BYTES = 64 << 20


@dataclass
class Merged:
    """What was seen while rows were merged.

    Attributes:
        work: the rows.
        digest: xxh3 (128 bits) of the bytes that were written.
        changed: whether any byte differs from the source.
        finite: whether no value is NaN or infinite.
    """

    work: Merge
    digest: str
    changed: bool
    finite: bool


class Worker:
    """One thread's share."""

    def __init__(self, folder: Path, share: list[Copy | Merge], piece: int) -> None:
        self.folder, self.share, self.piece = folder, share, piece
        self.done = 0
        self.merged: list[Merged] = []
        self._open: dict[tuple[Path, int], int] = {}
        self._buffer: Any = None

    def run(self, stop: threading.Event) -> None:
        """Do the share, until ``stop`` is set."""
        if any(isinstance(item, Merge) for item in self.share):
            import torch

            torch.set_num_threads(1)  # this thread is one of ours; torch's own would fight for the same cores
        with ExitStack() as stack:
            self._stack = stack
            for item in self.share:
                if stop.is_set():
                    return
                if isinstance(item, Copy):
                    self._copy(item, stop)
                else:
                    self.merged.append(self._merge(item, stop))

    def _file(self, path: Path, flags: int) -> int:
        """An open file; the one before it in the same direction is kept, because work comes file by file."""
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
            done += count
            self.done += count

    def _merge(self, item: Merge, stop: threading.Event) -> Merged:
        import torch
        import xxhash

        from .arithmetic import TORCH, Rows, Scratch, frombytes, piece_rows, read_into

        tensor, rows = item.tensor, Rows(item.tensor)
        source, target = self._file(tensor.source.path, os.O_RDONLY), self._file(self.folder / item.file, os.O_RDWR)
        held = TORCH[tensor.source.dtype].itemsize
        step = item.last - item.first if tensor.whole else piece_rows(item.width, held, self.piece)
        if self._buffer is None:
            self._scratch = Scratch()
        need = held * item.width * min(item.last - item.first, step + 64)
        if self._buffer is None or self._buffer.numel() < need:
            self._buffer = torch.empty(max(need, 2 * self.piece), dtype=torch.uint8)
        digest, changed, finite = xxhash.xxh3_128(), tensor.source.dtype != tensor.dtype, True
        first = item.first
        while first < item.last and not stop.is_set():
            last = first + step if item.last - first >= step + 32 else item.last
            count = last - first
            before = frombytes(self._buffer, tensor.source.dtype, count, item.width)
            view = memoryview(before.view(torch.uint8).view(-1).numpy()) if before.numel() else memoryview(b"")
            read_into(source, view, tensor.source.start + first * item.width * held, tensor.source.path)
            original = None if changed else xxhash.xxh3_64_intdigest(view)
            after = rows.merge(before, first, self._scratch)
            written = memoryview(after.contiguous().view(torch.uint8).view(-1).numpy()) if after.numel() else view
            finite = finite and (after.numel() == 0 or _finite(after))
            digest.update(written)
            changed = changed or original != xxhash.xxh3_64_intdigest(written)
            _write_all(target, written, item.place + first * item.row_bytes)
            self.done += len(written)
            first = last
        return Merged(item, digest.hexdigest(), changed, finite)


def _finite(values: Any) -> bool:
    """A sum is NaN or infinite when a value is; the reverse is not so for fp16, and then every value is looked at."""
    return bool(values.sum().isfinite()) or bool(values.isfinite().all())


def _write_all(descriptor: int, view: memoryview, offset: int) -> None:
    done = 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], offset + done)


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
    _write_all(target, memoryview(data), place)
    return len(data)
