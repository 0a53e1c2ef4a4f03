"""Counting the problems of rows by kind, and the words for each kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .report import MOST_ROWS, Finding, Severity

#: How many rows are shown with what is wrong in them.
MOST_DETAILS = 3


class Kind(NamedTuple):
    """The words for one kind of problem; ``{rows}`` is "1 row" or "12 rows", ``{s}`` an s for one row."""

    severity: Severity
    message: str
    fix: str


_FILE = "correct the rows in the data file"
#: Every problem that a row can have.
KINDS: dict[str, Kind] = {
    "unreadable-row": Kind(
        "error", "LLaMA-Factory's converter fails at {rows}", "correct the rows, or the columns in dataset_info.json"
    ),
    "dropped-row": Kind("error", "LLaMA-Factory drops {rows} with no more than a log line", _FILE),
    "row-fails": Kind("error", "LLaMA-Factory fails while it tokenizes {rows}", _FILE),
    "empty-answer": Kind(
        "error", "{rows} train{s} the model to answer with nothing: an answer is empty", "fill it in, or delete it"
    ),
    "empty-question": Kind("warning", "{rows} ask{s} nothing: a question is empty", "fill it in, or delete the rows"),
    "placeholder": Kind(
        "warning",
        "{rows} still contain{s} the place holders {{{{name}}}} or {{{{author}}}}",
        "put the real names there, as data/README.md of LLaMA-Factory says for its identity dataset",
    ),
    "same-answers": Kind(
        "warning", "{rows} teach{es} nothing: the chosen answer is the rejected one", "delete the rows, or correct them"
    ),
    "nothing-trained": Kind(
        "error", "{rows} train{s} on nothing: no token has a label", "raise cutoff_len, or shorten the prompt"
    ),
    "eos-not-trained": Kind(
        "error",
        "in {rows} the token that ends an answer is not trained on, so the model will not learn to stop",
        "use a template whose answers end with a stop token",
    ),
    "lost-turns": Kind("warning", "{rows} lose{s} whole turns at the cut", "raise cutoff_len"),
    "lost-header": Kind(
        "warning",
        "{rows} lose{s} the end of a prompt at the cut, and with it the assistant's header, after which an answer "
        "begins",
        "raise cutoff_len",
    ),
    "lost-eos": Kind(
        "warning",
        "{rows} lose{s} the end of an answer at the cut, and with it the token that ends it",
        "raise cutoff_len",
    ),
    "lost-end": Kind("warning", "{rows} lose{s} the end of an answer at the cut", "raise cutoff_len"),
    "cut-text": Kind("warning", "{rows} are cut at cutoff_len", "raise cutoff_len, split the texts, or packing: true"),
    "control-token": Kind(
        "warning",
        "{rows} contain{s} the text of a control token; stock templates turn it into the token itself, ours put a "
        "space into it",
        "remove it from the text",
    ),
    "mojibake": Kind(
        "warning",
        "{rows} contain{s} text that was decoded with the wrong encoding",
        "read the source again; convert finds out its encoding: lf-registry convert SOURCE --name NAME",
    ),
    "broken-hangul": Kind(
        "warning",
        "{rows} contain{s} Hangul in pieces, which takes several times the tokens and means nothing to the model",
        "normalize the text to NFC (unicodedata.normalize('NFC', text)), or correct it",
    ),
    "duplicate-rows": Kind("warning", "{rows} repeat{s} another row word for word", "delete the repetitions"),
    "near-duplicate-rows": Kind(
        "warning", "{rows} repeat{s} another row but for a few characters", "delete what adds nothing"
    ),
    "train-eval-overlap": Kind(
        "warning",
        "{rows} also stand{s} in the training data, so eval_loss measures learning by heart",
        "delete them from one of the two",
    ),
    "parity-ids": Kind(
        "error",
        "{rows}: the training ids differ from those of the chat template that is saved with the model, so it will be "
        "served with other tokens than it was trained on",
        "use a template of this registry (lf-registry list templates), or make one: lf-registry new persona NAME "
        "--extends TEMPLATE",
    ),
    "parity-labels": Kind(
        "error",
        "{rows}: the tokens with a label are not those that the chat template marks as the assistant's",
        "report this template; it is a mistake of the registry",
    ),
    "parity-prompt": Kind(
        "error",
        "{rows}: the prompt that is served (with the header that makes the model answer) is not the one that is "
        "trained on",
        "use a template of this registry (lf-registry list templates), or make one: lf-registry new persona NAME "
        "--extends TEMPLATE",
    ),
    "parity-refused": Kind(
        "error", "{rows}: the chat template that is saved with the model refuses the conversation", _FILE
    ),
}


@dataclass
class _Entry:
    count: int = 0
    rows: list[int] = field(default_factory=list)
    details: list[str] = field(default_factory=list)


@dataclass
class Tally:
    """Problems by kind: how many rows have it, which ones, and what the first few look like."""

    entries: dict[str, _Entry] = field(default_factory=dict)

    def add(self, code: str, row: int, *details: str) -> None:
        """Count one row (from 1)."""
        entry = self.entries.setdefault(code, _Entry())
        entry.count += 1
        if len(entry.rows) < MOST_ROWS:
            entry.rows.append(row)
        if details and sum(line.startswith("row ") for line in entry.details) < MOST_DETAILS:
            entry.details += [f"row {row}: {details[0]}", *(f"  {line}" for line in details[1:])]

    def merge(self, other: Tally) -> None:
        """Add what another tally counted in later rows."""
        for code, theirs in other.entries.items():
            ours = self.entries.setdefault(code, _Entry())
            ours.count += theirs.count
            ours.rows = (ours.rows + theirs.rows)[:MOST_ROWS]
            if sum(line.startswith("row ") for line in ours.details) < MOST_DETAILS:
                ours.details += theirs.details

    def count(self, code: str) -> int:
        """How many rows have a problem."""
        return self.entries[code].count if code in self.entries else 0

    def findings(self, where: str, *, milder: frozenset[str] = frozenset(), fixes: dict[str, str]) -> Iterator[Finding]:
        """One finding per kind, in the order of ``KINDS``.

        Args:
            where: the dataset.
            milder: kinds that are only a warning this time.
            fixes: better words for some kinds, where numbers are known.
        """
        for code, kind in KINDS.items():
            if code in self.entries:
                entry = self.entries[code]
                words = {"rows": f"{entry.count} rows" if entry.count > 1 else "1 row"}
                message = kind.message.format(
                    **words, s="" if entry.count > 1 else "s", es="" if entry.count > 1 else "es"
                )
                severity: Severity = "warning" if code in milder else kind.severity
                rows, details = tuple(entry.rows), tuple(entry.details)
                yield Finding(severity, code, where, message, fixes.get(code, kind.fix), rows, entry.count, details)
