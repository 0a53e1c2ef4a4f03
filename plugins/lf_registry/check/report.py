"""What a check finds: plain data, which the terminal, JSON and HTML reports are written from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One problem.

    Attributes:
        severity: ``error``: the run stops, or is not what the recipe says; ``warning``: it is known to hurt.
        code: the kind of problem, stable for scripts and tests: ``unknown-key``.
        where: the file and key, or the dataset: ``recipes/x.yaml: lora_rnk``, ``dataset ironman``.
        message: what is wrong and why it matters, one sentence or two.
        fix: what to change, or the next command to type.
        rows: the rows of a dataset (from 1) that have the problem, at most ``MOST_ROWS`` of them.
        count: how many rows have it; 1 for a problem that is not about rows.
        details: further lines, such as a token-level difference.
    """

    severity: Severity
    code: str
    where: str
    message: str
    fix: str
    rows: tuple[int, ...] = ()
    count: int = 1
    details: tuple[str, ...] = ()


#: How many row numbers a finding lists.
MOST_ROWS = 10


@dataclass(frozen=True)
class Lengths:
    """How long a dataset's conversations are, in tokens, before they are cut.

    Attributes:
        minimum, median, p95, p99, maximum: over all rows that are trained on; ``p99`` is also the smallest cutoff that
            keeps 99 % of the rows whole.
        edges, counts: a histogram: ``counts[i]`` rows have a length from ``edges[i]`` to below ``edges[i + 1]``.
    """

    minimum: int
    median: int
    p95: int
    p99: int
    maximum: int
    edges: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass
class DatasetReport:
    """What is in one dataset, as the training will see it.

    Attributes:
        name: its name in ``dataset_info.json``.
        split: ``train`` or ``eval``.
        rows: rows in the file; ``kept`` of them are trained on (or evaluated), the others are dropped.
        tokens: tokens after the cut, ``trained_tokens`` of them with a label (None without a tokenizer).
        lost_tokens: tokens that the cut takes away.
        cut_rows: rows that are cut; ``lost_header`` of them lose the end of a prompt, and with it the header that makes
            the model answer; ``lost_eos`` lose the end of an answer, and with it the token that ends it.
        lengths: the distribution of lengths before the cut (None without a tokenizer).
        trained_share: histogram over ten equal classes of trained / all tokens of a row.
        duplicates: rows that repeat an earlier one; ``near_duplicates`` are the same but for a few characters.
    """

    name: str
    split: Literal["train", "eval"]
    rows: int = 0
    kept: int = 0
    tokens: int | None = None
    trained_tokens: int | None = None
    lost_tokens: int = 0
    cut_rows: int = 0
    lost_header: int = 0
    lost_eos: int = 0
    lengths: Lengths | None = None
    trained_share: tuple[int, ...] = ()
    duplicates: int = 0
    near_duplicates: int = 0


@dataclass(frozen=True)
class Token:
    """One token of a preview: its id, its text, and whether the loss counts it.

    Korean characters may be spread over several tokens; the text of all but the last of them is then empty.
    """

    id: int
    text: str
    trained: bool


@dataclass(frozen=True)
class Sample:
    """One row as the training will see it."""

    dataset: str
    row: int
    tokens: tuple[Token, ...]


@dataclass
class Report:
    """Everything that a check found.

    Attributes:
        recipe: the recipe's path as it was typed.
        values: the recipe's keys, overrides applied.
        findings: all problems, errors first.
        datasets: one entry per dataset.
        samples: for ``--preview``.
        not_checked: what could not be checked, and why: one sentence each.
        checked: what was checked and found good, one line each (``every row equal to the chat template: 297``).
        rows_per_second: of the data check; None when there was none.
        cutoff_len: the recipe's, as LLaMA-Factory uses it; None when the recipe could not be read so far.
        overrides: the ``key=value`` that were typed behind the recipe; the next command repeats them.
    """

    recipe: str
    values: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)
    datasets: list[DatasetReport] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    rows_per_second: float | None = None
    cutoff_len: int | None = None
    overrides: tuple[str, ...] = ()

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop a run or make it another one."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """The findings that are known to hurt."""
        return [finding for finding in self.findings if finding.severity == "warning"]

    def add(self, findings: Iterable[Finding]) -> None:
        """Add findings, errors first, otherwise in the order they were found."""
        self.findings = sorted([*self.findings, *findings], key=lambda finding: finding.severity)
