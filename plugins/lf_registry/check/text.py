"""The report of a check for a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .hidden import without_secrets
from .report import Finding, Report
from .visible import visible, write_out
from .words import dataset_facts, next_command, rows_text, verdict

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

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

    report = without_secrets(report)
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        color_system="standard" if color else None,
        force_terminal=color,
        no_color=not color,
        highlight=False,
        legacy_windows=False,
    )
    console.print(_text(" ".join([report.recipe, *report.overrides]), "bold"))
    console.print()
    for finding in report.findings:
        console.print(_finding(finding))
        console.print()
    for dataset in report.datasets:
        console.print(_text(f"dataset {dataset.name} ({dataset.split})", "bold"))
        facts = dataset_facts(dataset, report.cutoff_len)
        console.print(_grid(((_text(f"  {label}"), _text(text)) for label, text in facts), first=12))
        console.print()
    checked = list(report.checked)
    if report.rows_per_second is not None:
        checked.append(f"data read at {report.rows_per_second:,.0f} rows a second")
    for label, lines, style in (("checked", checked, "green"), ("not checked", report.not_checked, "yellow")):
        if lines:
            console.print(_text(label, style))
            console.print(_grid(((_text("  -"), _text(line)) for line in lines), first=3))
            console.print()
    style = _STYLES["error"] if report.errors else _STYLES["warning"] if report.warnings else "bold green"
    console.print(_text(verdict(report), style))
    console.print(_text("next: correct the errors, then check again:" if report.errors else "next:"))
    console.print(_text(f"  {next_command(report)}"), soft_wrap=True)  # in one piece, so that it can be copied
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().split("\n")[:-1])


def _text(text: str, style: str = "") -> Text:
    """All text goes through here: none of it is rich's markup, and no invisible character reaches the terminal."""
    from rich.text import Text

    return Text(visible(text), style=style, overflow="fold")


def _grid(rows: Iterable[tuple[RenderableType, RenderableType]], first: int) -> Table:
    """Two columns, the second of which is wrapped; a word that is too long is broken, never cut off."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=first, no_wrap=True)
    grid.add_column()
    for row in rows:
        grid.add_row(*row)
    return grid


def _finding(finding: Finding) -> Table:
    from rich.padding import Padding

    where = _text(finding.where, "bold").append_text(_text(f"  {finding.code}", "not bold dim"))
    rows: list[tuple[RenderableType, RenderableType]] = [
        (_text(finding.severity, _STYLES[finding.severity]), where),
        ("", _text(finding.message)),
    ]
    if rows_text(finding):
        rows.append(("", _text(rows_text(finding))))
    if finding.fix:
        rows.append((_text("    fix:", "green"), _text(finding.fix)))
    rows += [("", Padding(_text(line), (0, 0, 0, 2))) for line in finding.details]
    return _grid(rows, first=8)
