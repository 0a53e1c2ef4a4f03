"""Giving a report to the user, in the form that was asked for."""

from __future__ import annotations

from pathlib import Path

from ..files import json_text, write_atomically
from .report import Report


def show_report(report: Report, *, as_json: bool, html: Path | None, ids: bool) -> None:
    """Print the report, and write the HTML page when one is wanted.

    Args:
        report: what was found.
        as_json: print JSON instead of text.
        html: where to write the page.
        ids: show the token ids in the previews.

    Raises:
        UserError: the page cannot be written.
    """
    if as_json:
        from .as_json import report_json

        print(json_text(report_json(report)), end="")
    else:
        from .preview import print_previews
        from .text import print_report

        print_previews(report.samples, ids=ids)
        print_report(report)
    if html is not None:
        from .html import report_html

        write_atomically(html, report_html(report))
        if not as_json:
            print(f"wrote {html}")
