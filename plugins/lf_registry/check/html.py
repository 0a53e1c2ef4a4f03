"""The report of a check as one HTML page that needs nothing else: no script, font, image or style from anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from .hidden import without_secrets
from .plots import lengths_svg, lengths_words, share_svg, share_words
from .preview import headline
from .report import DatasetReport, Report, Sample
from .visible import visible
from .words import dataset_facts, next_command, rows_text, verdict

_FOLDER = Path(__file__).parent


def report_html(report: Report) -> str:
    """The report as an HTML page: result, problems, what is in the data, with plots, samples, the recipe's keys.

    It reads the same on a phone, on paper, in light and in dark, and without JavaScript. Everything that comes from the
    user is escaped, invisible characters are shown, secrets are hidden; a Content-Security-Policy allows no other
    script than the page's own, by its hash. Equal reports give equal pages.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    report = without_secrets(report)
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    script = _file("report.js")
    return environment.get_template("report.html.j2").render(
        report=report,
        title=" ".join([report.recipe, *report.overrides]),
        verdict=verdict(report),
        state="error" if report.errors else "warning" if report.warnings else "good",
        next_command=next_command(report),
        rows_text=rows_text,
        datasets=[_dataset(dataset, report.cutoff_len, i) for i, dataset in enumerate(report.datasets)],
        samples=[{"headline": headline(sample), "runs": list(_runs(sample))} for sample in report.samples],
        values=[(key, _value(value)) for key, value in report.values.items()],
        style=_file("report.css"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _file(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _shown(value: Any) -> Any:
    """What Jinja prints of a value: text of unknown origin with its invisible characters shown."""
    return visible(value) if type(value) is str else value


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
