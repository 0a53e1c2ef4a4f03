"""The words that all outputs share."""

from __future__ import annotations

import shlex

import pytest

from lf_registry.check.report import DatasetReport, Report
from lf_registry.check.text import report_text
from lf_registry.check.words import dataset_facts, next_command, percent, rows_text, verdict
from report_parts import finding
from report_reading import squeezed


@pytest.mark.parametrize(
    ("severities", "not_checked", "words", "command"),
    [
        ([], [], "no problems found", "llamafactory-cli train 'my r.yaml' a='b c'"),
        ([], ["x", "y"], "no problems found; 2 not checked", "llamafactory-cli train 'my r.yaml' a='b c'"),
        (["warning"], [], "1 warning", "llamafactory-cli train 'my r.yaml' a='b c'"),
        (["warning", "error", "error"], [], "2 errors, 1 warning", "lf-registry check 'my r.yaml' a='b c'"),
    ],
)
def test_verdict_and_next_command(severities, not_checked, words, command):
    report = Report("my r.yaml", {}, not_checked=not_checked, overrides=("a=b c",))
    report.add(finding(severity) for severity in severities)
    assert verdict(report) == words
    assert shlex.split(next_command(report)) == shlex.split(command)
    assert squeezed(next_command(report)) in squeezed(report_text(report))


@pytest.mark.parametrize(
    ("rows", "count", "text"),
    [
        ((), 1, ""),
        ((), 12, "12 rows"),
        ((3,), 1, "row 3"),
        ((3,), 2, "rows 3 and 1 more"),
        ((3, 17, 1052), 3, "rows 3, 17, 1052"),
        ((3, 17, 52), 2011, "rows 3, 17, 52 and 2,008 more"),
    ],
)
def test_rows(rows, count, text):
    assert rows_text(finding(rows=rows, count=count)) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0.0 %"),
        (0, 9, "0.0 %"),
        (1, 3, "33.3 %"),
        (9, 9, "100.0 %"),
        (1, 9999, "< 0.1 %"),
        (9998, 9999, "> 99.9 %"),
    ],
)
def test_a_share_is_never_rounded_to_nothing_or_all(part, whole, text):
    assert percent(part, whole) == text


def test_facts_without_a_tokenizer_say_so_and_invent_nothing():
    facts = dict(dataset_facts(DatasetReport("x", "train", rows=9, kept=9), 2048))
    assert facts == {"rows": "9, all kept", "tokens": "not counted: there is no tokenizer", "duplicates": "none"}
