"""Carry out a plan: the kernel copies what does not change, rows of the rest are read, merged and written in pieces.

Memory does not grow with the model: each thread has one piece in its buffers, and the matrices of one adapter module.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from .plan import Plan
from .work import Copy, Merge, shares, work_of

#: Bytes of a piece that is merged: small enough that its buffers stay in the processor's cache.
PIECE_BYTES = 1 << 20
_COPY_BYTES = 8 << 20


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


@dataclass
class Written:
    """The result of a run.

    Attributes:
        merged: one entry per piece of work that was no copy.
        copied: the pieces of work that were.
    """

    merged: list[Merged] = field(default_factory=list)
    copied: list[Copy] = field(default_factory=list)


def write(
    plan: Plan, folder: Path, *, threads: int, piece: int = PIECE_BYTES, progress: Callable[[int], None]
) -> Written:
    """Write all weight files of a plan into ``folder`` and sync them.

    Args:
        plan: what to write.
        folder: an existing folder.
        threads: how many.
        piece: bytes that are merged at a time.
        progress: gets the number of bytes done so far, a few times a second, in the calling thread.

    Raises:
        UserError: a source became unreadable or shorter, or the disk is full.
    """
    for shard in plan.shards:
        with (folder / shard.file).open("wb") as stream:
            stream.write(shard.header)
            stream.truncate(shard.size)
    work = list(work_of(plan))
    kinds = [[item for item in work if isinstance(item, kind)] for kind in (Copy, Merge)]
    workers = [_Worker(folder, share, piece) for items in kinds for share in shares(items, threads)]
    stop = threading.Event()
    with ThreadPoolExecutor(len(workers) + 1) as pool:
        running = [pool.submit(worker.run, stop) for worker in workers if isinstance(worker.share[0], Copy)]
        flusher = pool.submit(_flush, [folder / shard.file for shard in plan.shards], stop)
        try:
            if kinds[1]:
                from . import arithmetic  # noqa: F401, importing torch takes a second, in which the kernel copies
            running += [pool.submit(worker.run, stop) for worker in workers if isinstance(worker.share[0], Merge)]
            while wait(running, timeout=0.1, return_when="FIRST_EXCEPTION").not_done:
                progress(sum(worker.done for worker in workers))
                if any(future.done() and future.exception() for future in running):
                    stop.set()
            stop.set()
            for future in [*running, flusher]:
                future.result()
            list(pool.map(_sync, [folder / shard.file for shard in plan.shards]))
        except OSError as error:
            raise _explained(error, folder) from None
        finally:
            stop.set()
    progress(sum(worker.done for worker in workers))
    merged = [entry for worker in workers for entry in worker.merged]
    return Written(merged, [item for worker in workers for item in worker.share if isinstance(item, Copy)])


def _explained(error: OSError, folder: Path) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"{folder.parent}: the disk became full while writing; nothing was changed", hint="make room")
    where = f"{error.filename}: " if error.filename else ""
    return UserError(f"{where}{error.strerror or error}; the merge was stopped and nothing was changed")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush(paths: list[Path], stop: threading.Event) -> None:
    """Send to the disk what is written so far, again and again, so that the last sync has little left to do."""
    while not stop.wait(0.2):
        for path in paths:
            if stop.is_set():
                return
            _sync(path)


class _Worker:
    """One thread's share."""

    def __init__(self, folder: Path, share: list[Copy | Merge], piece: int) -> None:
        self.folder, self.share, self.piece = folder, share, piece
        self.done = 0
        self.merged: list[Merged] = []
        self._open: dict[tuple[Path, int], int] = {}
        self._buffer: Any = None

    def run(self, stop: threading.Event) -> None:
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
        step = item.last - item.first if rows.whole else piece_rows(item.width, held, self.piece)
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
