"""The distribution of lengths: figures that a reader sets cutoff_len by."""

from __future__ import annotations

from array import array

import pytest

from lf_registry.check.chunk import Chunk
from lf_registry.check.report import DatasetReport
from lf_registry.check.summary import Summary


def summary(whole: list[int], cutoff: int = 10**6) -> DatasetReport:
    report = Summary(DatasetReport("d", "train"), tokenized=True)
    for start in range(0, len(whole), 7):  # several chunks
        part = whole[start : start + 7]
        cut = [min(length, cutoff) for length in part]
        trained = array("I", [length // 2 for length in cut])
        report.add(Chunk(start, len(part), len(part), array("I", part), array("I", cut), trained))
    return report.finish()


@pytest.mark.parametrize("rows", [1, 2, 99, 100, 101, 250])
def test_p99_keeps_99_per_cent_whole_and_is_the_length_of_a_row(rows):
    lengths = summary(list(range(10, 10 + rows))).lengths
    kept = sum(length <= lengths.p99 for length in range(10, 10 + rows))
    assert kept / rows >= 0.99
    assert sum(length < lengths.p99 for length in range(10, 10 + rows)) / rows < 0.99 or rows < 3
    assert lengths.minimum == 10 and lengths.maximum == 9 + rows


def test_the_histogram_holds_every_row():
    lengths = summary([5, 5, 6, 900]).lengths
    assert sum(lengths.counts) == 4 and len(lengths.edges) == len(lengths.counts) + 1
    assert lengths.edges[0] == 5 and lengths.edges[-1] > 900


def test_what_the_cut_takes():
    report = summary([10, 20, 30], cutoff=15)
    assert (report.tokens, report.lost_tokens, report.cut_rows) == (40, 20, 2)
    assert report.trained_tokens == 5 + 7 + 7 and sum(report.trained_share) == 3


def test_nothing_was_kept():
    report = summary([])
    assert (report.tokens, report.trained_tokens, report.lengths) == (0, 0, None)
