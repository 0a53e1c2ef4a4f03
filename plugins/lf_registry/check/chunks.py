"""Checking a dataset chunk by chunk, in one process or in several."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

from .chunk import Chunk
from .duplicates import MOST_NEAR
from .rows import RowCheck

#: Rows that are looked at together: enough for a batch to be tokenized on all cores, little in memory.
_CHUNK = 500
#: From so many rows on, several processes are worth starting.
_MANY_ROWS = 2000
_MOST_PROCESSES = 8


def chunks(check: RowCheck, rows: Any, workers: int | None) -> Iterator[Chunk]:
    """Check all rows of a ``datasets.Dataset``, in order.

    Args:
        check: knows the dataset.
        rows: the dataset.
        workers: processes; None for one per core when there are many rows.
    """
    if workers is None:
        workers = 1 if len(rows) < _MANY_ROWS else min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    spans = [(start, min(start + _CHUNK, len(rows))) for start in range(0, len(rows), _CHUNK)]
    run = partial(_run, check, rows)
    if workers <= 1 or len(spans) <= 1:
        yield from map(run, spans)
        return
    import multiprocessing

    # Forked, so that what took seconds to import and load is there already.
    with multiprocessing.get_context("fork").Pool(workers, _start_worker, (run,)) as pool:
        yield from pool.imap(_run_in_worker, spans)


def _run(check: RowCheck, rows: Any, span: tuple[int, int]) -> Chunk:
    return check.check(rows, *span, near=span[0] < MOST_NEAR)


_worker: Any = None


def _start_worker(run: Any) -> None:
    global _worker  # noqa: PLW0603, a pool's worker has no other place for what it was started with
    _worker = run
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers are the parallelism
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends its workers without their traces


def _run_in_worker(span: tuple[int, int]) -> Chunk:
    return _worker(span)
