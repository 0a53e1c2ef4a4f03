"""The comparison as one HTML page that needs nothing else: no font, image, style or script from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..check.page import render
from .differences import marked
from .metrics import METRICS, Metric
from .plots import plots
from .rows import BETTER, MIXED, WORSE, Row
from .sanity import FLAGS
from .sentences import number
from .sides import AFTER, BEFORE, SIDES

#: Prompts on the page; with more, those that changed come first. All of them are in ``answers.jsonl``.
MOST_ROWS = 400


def report_html(summary: Mapping[str, Any], rows: Sequence[Row], metrics: Sequence[Metric]) -> str:
    """The page: what came out in sentences and tables, plots, and the answers side by side.

    Words that only one answer has are marked; without JavaScript everything is shown, with it flips and regressions can
    be picked out. All text is escaped; a Content-Security-Policy allows the page's own script alone. Equal results give
    equal pages.
    """
    shown = _shown(rows)
    values = {
        "summary": summary,
        "rows": [_row(row, number, metrics) for number, row in shown],
        "filters": _filters([row for _, row in shown]),
        "left_out": len(rows) - len(shown),
        "plots": plots(rows, metrics),
        "flags": FLAGS,
        "metrics": METRICS,
        "sides": SIDES,
    }
    return render(Path(__file__).parent, values, {"number": _number})


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else number(value)


def _shown(rows: Sequence[Row]) -> list[tuple[int, Row]]:
    numbered = list(enumerate(rows, 1))
    if len(numbered) <= MOST_ROWS:
        return numbered
    changed = sorted(numbered, key=lambda item: (not item[1].lost, not item[1].flips, not item[1].won, item[0]))
    return sorted(changed[:MOST_ROWS], key=lambda item: item[0])


def _row(row: Row, number: int, metrics: Sequence[Metric]) -> dict[str, Any]:
    before, after = marked(row.said[BEFORE].text, row.said[AFTER].text)
    kinds = [
        name
        for name, there in (
            ("flip", bool(row.flips)),
            ("worse", row.change in (WORSE, MIXED)),
            ("better", row.change in (BETTER, MIXED)),
            ("wrong", bool(row.said[AFTER].flags)),
        )
        if there
    ]
    return {
        "number": number,
        "row": row,
        "kinds": " ".join(kinds),
        "pieces": {BEFORE: before, AFTER: after},
        "context": [message for message in row.prompt.messages[:-1] if message.get("content")],
        "values": {side: list(row.values(metrics, side).items()) for side in SIDES},
    }


def _filters(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    """What can be picked out: (value, words, how many)."""
    return [
        ("all", "all", len(rows)),
        ("flip", "flips", sum(bool(row.flips) for row in rows)),
        ("worse", "regressions", sum(row.change in (WORSE, MIXED) for row in rows)),
        ("better", "improvements", sum(row.change in (BETTER, MIXED) for row in rows)),
        ("wrong", "something wrong after", sum(bool(row.said[AFTER].flags) for row in rows)),
    ]
