"""The report of a check for a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .hidden import without_secrets
from .report import DatasetReport, Finding, Report
from .visible import visible, write_out
from .words import dataset_facts, next_command, rows_text, verdict

if TYPE_CHECKING:
    from rich.table import Table

#: Longer lines are hard to read, however wide the terminal is.
WIDEST = 100

_STYLES = {"error": "bold red", "warning": "bold yellow"}


def print_report(report: Report) -> None:
    """Print the report to standard output, as wide as the terminal and in colour if it has any.

    A pipe gets 80 columns; ``NO_COLOR``, ``FORCE_COLOR`` and ``COLUMNS`` are respected (by rich).
    """
    width, color = terminal()
    write_out(report_text(report, width=min(width, WIDEST), color=color))


def terminal() -> tuple[int, bool]:
    """Width of standard output in columns, and whether to colour it."""
    from rich.console import Console

    console = Console()
    return console.width, console.color_system is not None and not console.no_color


def report_text(report: Report, *, width: int = 80, color: bool = False) -> str:
    """The report as text: problems first, then what is in the data, then the result and the command to type next.

    Args:
        report: what was found; secrets are hidden.
        width: columns of the terminal (a wide Korean character takes two); only a command to copy may be longer.
        color: whether to use ANSI colours.
    """
    from rich.console import Console
    from rich.text import Text

    report = without_secrets(report)
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        color_system="standard" if color else None,
        force_terminal=color,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    title = " ".join([report.recipe, *report.overrides])
    console.print(Text(visible(title), style="bold", overflow="fold"))
    console.print()
    for finding in report.findings:
        console.print(_finding(finding))
        console.print()
    for dataset in report.datasets:
        console.print(Text(visible(f"dataset {dataset.name} ({dataset.split})"), style="bold", overflow="fold"))
        console.print(_facts(dataset, report.cutoff_len))
        console.print()
    if report.rows_per_second is not None:
        report.checked = [*report.checked, f"data read at {report.rows_per_second:,.0f} rows a second"]
    for label, lines, style in (("checked", report.checked, "green"), ("not checked", report.not_checked, "yellow")):
        if lines:
            console.print(Text(label, style=style))
            console.print(_grid((("  -", visible(line)) for line in lines), first=3))
            console.print()
    result = Text(visible(verdict(report)))
    result.stylize(_STYLES["error"] if report.errors else _STYLES["warning"] if report.warnings else "bold green")
    console.print(result)
    if report.errors:
        console.print("next: correct the errors, then check again:")
    else:
        console.print("next:")
    console.print(Text(f"  {visible(next_command(report))}"), soft_wrap=True)  # in one piece, so that it can be copied
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def _grid(rows: Iterable[tuple[str | object, str | object]], first: int) -> Table:
    """Two columns, the second of which is wrapped; a word that is too long is broken, never cut off."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=first, no_wrap=True)
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell, overflow="fold") if isinstance(cell, str) else cell for cell in row))
    return grid


def _finding(finding: Finding) -> Table:
    from rich.padding import Padding
    from rich.text import Text

    style = _STYLES[finding.severity]
    where = Text(visible(finding.where), style="bold", overflow="fold").append(
        f"  {finding.code}", style="not bold dim"
    )
    rows: list[tuple[object, object]] = [(Text(finding.severity, style=style), where), ("", visible(finding.message))]
    if rows_text(finding):
        rows.append(("", rows_text(finding)))
    if finding.fix:
        rows.append((Text("    fix:", style="green"), visible(finding.fix)))
    rows += [("", Padding(Text(visible(line), overflow="fold"), (0, 0, 0, 2))) for line in finding.details]
    return _grid(rows, first=8)


def _facts(dataset: DatasetReport, cutoff_len: int | None) -> Table:
    return _grid(((f"  {label}", text) for label, text in dataset_facts(dataset, cutoff_len)), first=12)
