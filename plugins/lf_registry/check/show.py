"""Giving a report to the user, in the form that was asked for."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from ..errors import UserError
from ..files import json_text, write_atomically
from .report import Report


def check_writable(path: Path) -> None:
    """Find out before a long check that its page cannot be written.

    Raises:
        UserError: the folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise UserError(f"--html {path}: cannot be written there ({error.strerror})") from None


def _printable(text: str) -> str:
    """JSON in characters that standard output can print: a cp949 terminal has no emoji, but JSON has escapes."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(json.loads(text), indent=2) + "\n"
    return text


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

        print(_printable(json_text(report_json(report))), end="")
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
