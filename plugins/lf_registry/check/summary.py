"""Putting the chunks of a dataset together."""

from __future__ import annotations

from array import array

from .chunk import Chunk
from .report import DatasetReport, Lengths
from .tally import Tally

_CLASSES = 20


class Summary:
    """Adds chunks up; memory is twelve bytes a row."""

    def __init__(self, report: DatasetReport, *, tokenized: bool) -> None:
        self._report, self._tokenized = report, tokenized
        self._whole, self._lengths, self._trained = array("I"), array("I"), array("I")
        self.problems = Tally()
        self.compared = self.skipped = 0

    def add(self, chunk: Chunk) -> None:
        """Add one chunk."""
        self._report.rows += chunk.rows
        self._report.kept += chunk.kept
        self._whole += chunk.whole
        self._lengths += chunk.lengths
        self._trained += chunk.trained
        self.problems.merge(chunk.problems)
        self.compared += chunk.compared
        self.skipped += chunk.skipped

    def finish(self) -> DatasetReport:
        """The report, with the distributions (which stay None when nothing was tokenized)."""
        import numpy

        report, problems = self._report, self.problems
        report.lost_header, report.lost_eos = problems.count("lost-header"), problems.count("lost-eos")
        report.duplicates = problems.count("duplicate-rows")
        report.near_duplicates = problems.count("near-duplicate-rows")
        if not self._lengths:
            report.tokens = report.trained_tokens = 0 if self._tokenized else None
            return report
        whole, lengths, trained = (
            numpy.frombuffer(values, dtype=numpy.uint32).astype(numpy.int64)
            for values in (self._whole, self._lengths, self._trained)
        )
        report.tokens, report.trained_tokens = int(lengths.sum()), int(trained.sum())
        report.cut_rows = int((lengths < whole).sum())
        report.lost_tokens = int((whole - lengths).clip(min=0).sum())
        # The smallest length that a row has and that keeps at least that share of the rows whole.
        quantiles = numpy.quantile(whole, [0, 0.5, 0.95, 0.99, 1], method="inverted_cdf")
        width = max(1, -(-(int(whole.max()) - int(whole.min()) + 1) // _CLASSES))
        edges = numpy.arange(int(whole.min()), int(whole.max()) + width + 1, width)
        counts, _ = numpy.histogram(whole, bins=edges)
        report.lengths = Lengths(*(int(value) for value in quantiles), tuple(edges.tolist()), tuple(counts.tolist()))
        shares, _ = numpy.histogram((trained / lengths.clip(min=1)).clip(max=1), bins=10, range=(0, 1))
        report.trained_share = tuple(shares.tolist())
        return report
