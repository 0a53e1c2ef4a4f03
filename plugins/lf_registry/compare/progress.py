"""How far the asking is: a bar on a terminal; elsewhere, as in the log of a pod, a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Seconds between two lines, at least: what is done sooner needs none.
_QUIET = 60.0

#: Takes how many more are done, and of which model.
Advance = Callable[[int, str], None]


@contextmanager
def progress(total: int) -> Iterator[Advance]:
    """Show on stderr how many of ``total`` answers and likelihoods are done."""
    if not total:
        yield lambda number, what: None
        return
    if not sys.stderr.isatty():
        yield _lines(total)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading", total=total)
        yield lambda number, what: bar.update(task, advance=number, description=escape(what[-40:]))


def _lines(total: int) -> Advance:
    """A line for each tenth, but not more than one a minute, and none at the end: there the result is printed."""
    started = last = time.monotonic()
    done = tenths = 0

    def advance(number: int, what: str) -> None:
        nonlocal last, done, tenths
        done += number
        now = time.monotonic()
        if done >= total or done * 10 // total == tenths or now - last < _QUIET:
            return
        last, tenths = now, done * 10 // total
        passed = now - started
        left = passed * (total - done) / done
        times = f"{passed / 60:.0f} min, about {left / 60:.0f} min left"
        print(f"{what}: {done:,} of {total:,} done ({tenths}0 %) in {times}", file=sys.stderr, flush=True)

    return advance
