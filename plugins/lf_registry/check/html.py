"""The report of a check as one HTML page that needs nothing else: no script, font, image or style from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from .hidden import without_secrets
from .page import render
from .plots import lengths_svg, lengths_words, share_svg, share_words
from .preview import headline
from .report import DatasetReport, Report, Sample
from .words import dataset_facts, next_command, rows_text, verdict


def report_html(report: Report) -> str:
    """The report as an HTML page: result, problems, what is in the data, with plots, samples, the recipe's keys.

    It reads the same on a phone, on paper, in light and in dark, and without JavaScript. Everything that comes from the
    user is escaped, invisible characters are shown, secrets are hidden; a Content-Security-Policy allows no other
    script than the page's own, by its hash. Equal reports give equal pages.
    """
    report = without_secrets(report)
    values = {
        "report": report,
        "title": " ".join([report.recipe, *report.overrides]),
        "verdict": verdict(report),
        "state": "error" if report.errors else "warning" if report.warnings else "good",
        "next_command": next_command(report),
        "rows_text": rows_text,
        "datasets": [_dataset(dataset, report.cutoff_len, i) for i, dataset in enumerate(report.datasets)],
        "samples": [{"headline": headline(sample), "runs": list(_runs(sample))} for sample in report.samples],
        "values": [(key, _value(value)) for key, value in report.values.items()],
    }
    return render(Path(__file__).parent, values)


def _dataset(dataset: DatasetReport, cutoff_len: int | None, number: int) -> dict[str, Any]:
    plots = []
    if dataset.lengths is not None and any(dataset.lengths.counts):
        svg = lengths_svg(dataset.lengths, cutoff_len, f"lengths{number}")
        plots.append(("Length of the rows", lengths_words(dataset, cutoff_len), svg))
    if any(dataset.trained_share):
        plots.append(("Share of the tokens in the loss", share_words(dataset), share_svg(dataset, f"share{number}")))
    return {"name": dataset.name, "split": dataset.split, "facts": dataset_facts(dataset, cutoff_len), "plots": plots}


def _runs(sample: Sample) -> Iterator[dict[str, Any]]:
    """The sample as runs of equally masked tokens; a character of several tokens is shown once, with all their ids."""
    for trained, tokens in groupby(sample.tokens, key=lambda token: token.trained):
        pieces: list[dict[str, Any]] = []
        ids: list[int] = []
        for token in tokens:
            ids.append(token.id)
            if token.text:
                pieces.append({"ids": ids, "lines": token.text.split("\n")})
                ids = []
        if ids:
            pieces.append({"ids": ids, "lines": [""]})
        yield {"trained": trained, "pieces": pieces}


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
