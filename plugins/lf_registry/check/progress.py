"""A progress bar over chunks of rows; none when the output is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from .chunk import Chunk


def progress(chunks: Iterator[Chunk], rows: int, what: str) -> Iterator[Chunk]:
    """Pass the chunks on, showing on stderr how many rows of all are done."""
    if not sys.stderr.isatty():
        yield from chunks
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=rows)
        for chunk in chunks:
            yield chunk
            bar.advance(task, chunk.rows)
