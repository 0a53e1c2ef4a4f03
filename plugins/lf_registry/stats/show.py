"""The tables of ``lf-registry stats``."""

from __future__ import annotations

import sys
import unicodedata

from .measure import PARTS, Stats

#: Rows of the table of special characters, and row numbers that are named.
_MOST = 15

#: Columns that hold no numbers.
_TEXTS = ("", "unit", "name", "occurs", "part of the context")


def print_stats(stats: Stats, *, tokenizer: str | None) -> None:
    """Print everything as tables; nothing is cut off in a pipe."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 240, highlight=False)

    def table(columns: list[str], rows: list[list[str]]) -> None:
        made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in columns:
            made.add_column(column, justify="left" if column in _TEXTS else "right")
        for row in rows:
            made.add_row(*map(Text, row))
        console.print(made)
        console.print()

    contexts = f", {stats.contexts:,} different contexts" if stats.contexts else ""
    console.print(Text(f"{stats.name}: {stats.rows:,} rows{contexts}"))
    console.print()
    table(
        ["", "unit", "least", "median", "mean", "95 %", "most"],
        [
            [kind, unit, f"{s.least:,}", f"{s.median:,g}", f"{s.mean:,.1f}", f"{s.p95:,}", f"{s.most:,}"]
            for kind, units in stats.lengths.items()
            for unit, s in units.items()
        ],
    )
    if tokenizer is None:
        console.print("tokens were not counted: --tokenizer MODEL (a folder or a Hub id)\n")
    for kind, marks in stats.special.items():
        if kind == "question" or not marks:
            continue
        console.print(f"special characters, {kind}" + (f" (the first {_MOST} of {len(marks)})" * (len(marks) > _MOST)))
        rows = [
            [mark, f"{count:,}", f"{rows:,}", unicodedata.name(mark, f"U+{ord(mark):04X}").lower()]
            for mark, (count, rows) in list(marks.items())[:_MOST]
        ]
        table(["", "count", "rows", "name"], rows)
    if stats.occurrences:
        console.print("the answer in its context")
        total = sum(stats.occurrences.values())
        table(
            ["occurs", "rows", "share"],
            [[_times(times), f"{rows:,}", f"{rows / total:.0%}"] for times, rows in stats.occurrences.items()],
        )
        console.print("where it begins first")
        table(
            ["part of the context", "rows"],
            [[f"{100 * i // PARTS} to {100 * (i + 1) // PARTS} %", f"{n:,}"] for i, n in enumerate(stats.positions)],
        )
    elif not stats.contexts:
        console.print("no column is mapped as context (dataset_info.json: columns: query), so none was searched\n")
    if stats.contexts:
        console.print(f"unanswerable (a context and no answer): {_numbers(stats.unanswerable)}")
        console.print(f"the answer does not stand in the context: {_numbers(stats.not_in_context)}")


def _times(times: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(times, f"{times} times")


def _numbers(rows: list[int]) -> str:
    if not rows:
        return "none"
    more = f" and {len(rows) - _MOST:,} more" if len(rows) > _MOST else ""
    word = "row" if len(rows) == 1 else "rows"
    return f"{len(rows):,}: {word} {', '.join(f'{number:,}' for number in rows[:_MOST])}{more}"
