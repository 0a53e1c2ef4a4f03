"""Carry out a plan: the kernel copies what does not change, rows of the rest are read, merged and written in pieces.

Memory does not grow with the model: each thread has one piece in its buffers, and the matrices of one adapter module.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from .operations import OutTensor
from .plan import Plan
from .quiet import no_collection
from .safe import sync
from .work import Copy, Merge, shares, work_of
from .worker import Engine, Merged, Worker

#: Bytes of a piece that is merged: small enough that its buffers stay in the processor's cache.
PIECE_BYTES = 1 << 19


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
    plan: Plan,
    folder: Path,
    *,
    threads: int,
    piece: int = PIECE_BYTES,
    verified: bool = True,
    progress: Callable[[int], None],
) -> Written:
    """Write all weight files of a plan into ``folder`` and sync them.

    Args:
        plan: what to write.
        folder: an existing folder.
        threads: how many.
        piece: bytes that are merged at a time.
        verified: whether the files are read back afterwards, so that they stay in memory and are hashed.
        progress: gets the number of bytes done so far, a few times a second, in the calling thread.

    Raises:
        OSError: a source became unreadable or shorter, or the disk is full.
    """
    for shard in plan.shards:
        with (folder / shard.file).open("wb") as stream:
            stream.write(shard.header)
            stream.truncate(shard.size)
    work = list(work_of(plan))
    copies, merges = ([item for item in work if isinstance(item, kind)] for kind in (Copy, Merge))
    # One core imports what computes while the others copy.
    workers = [Worker(folder, share) for share in shares(copies, max(1, threads - 1))]
    stop = threading.Event()
    with ThreadPoolExecutor(len(workers) + threads) as pool:
        running = [pool.submit(worker.run, stop) for worker in workers]
        try:
            if merges:
                engine = _engine([item.tensor for item in merges])
                engine.load.cache_clear()  # by name and place: an adapter may have been trained again since
                merging = [Worker(folder, share, piece, engine, verified=verified) for share in shares(merges, threads)]
                workers += merging
                running += [pool.submit(worker.run, stop) for worker in merging]
            while wait(running, timeout=0.1, return_when="FIRST_EXCEPTION").not_done:
                progress(sum(worker.done for worker in workers))
                if any(future.done() and future.exception() for future in running):
                    stop.set()
            stop.set()
            for future in running:
                future.result()
            list(pool.map(sync, [folder / shard.file for shard in plan.shards]))
        finally:
            stop.set()
    progress(sum(worker.done for worker in workers))
    merged = [entry for worker in workers for entry in worker.merged]
    return Written(merged, [item for worker in workers for item in worker.share if isinstance(item, Copy)])


def _engine(tensors: list[OutTensor]) -> Engine:
    """The module that merges these tensors; importing torch takes a second or two, and the plain case goes without."""
    from . import plain

    if plain.possible(tensors):
        return plain
    with no_collection():
        from . import arithmetic
    return arithmetic
