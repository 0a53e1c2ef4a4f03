"""Count what is in rows; pure functions over texts."""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .rows import Row, fields

#: A sentence ends with one of these marks, and quotes or brackets that close with it, before a space or the end.
#: A point inside a number (3.5%) or a date (2024.3.1) has no space behind it; "1. " at the start of a line is no end.
_SENTENCE = re.compile(r"(?<!^\d)(?<!\n\d)[.!?\u2026\u3002\uff01\uff1f]+[\"'\u201d\u2019)\]\u300d\u300f]*(?=\s|$)")

#: So many equal parts of a context, for where answers begin.
PARTS = 10


@dataclass(frozen=True)
class Spread:
    """How a length varies over rows: the smallest, the median, the mean, the 95th percentile and the largest."""

    least: int
    median: float
    mean: float
    p95: int
    most: int


@dataclass
class Stats:
    """What is in a dataset.

    Attributes:
        name: of the dataset.
        rows: how many.
        contexts: how many different contexts; 0 when the dataset has no such column.
        lengths: field -> unit (``characters``, ``words``, ``sentences``, and ``tokens`` with a tokenizer) -> spread.
        special: field -> character -> (how many times, in how many rows), most frequent first.
        occurrences: times that an answer stands in its context -> rows with a context and an answer.
        positions: rows whose answer begins in the first, second, ... tenth part of its context.
        unanswerable: the numbers of rows that have a context and no answer.
        not_in_context: the numbers of rows whose answer does not stand in their context, letter by letter.
        values: field -> unit -> the length of every row, for plots.
    """

    name: str
    rows: int
    contexts: int
    lengths: dict[str, dict[str, Spread]]
    special: dict[str, dict[str, tuple[int, int]]]
    occurrences: dict[int, int] = field(default_factory=dict)
    positions: list[int] = field(default_factory=list)
    unanswerable: list[int] = field(default_factory=list)
    not_in_context: list[int] = field(default_factory=list)
    values: dict[str, dict[str, list[int]]] = field(default_factory=dict, repr=False)

    def as_json(self) -> dict[str, Any]:
        """Everything but the single rows' lengths."""
        found = asdict(self)
        del found["values"]
        found["special"] = {
            name: {mark: {"count": count, "rows": rows} for mark, (count, rows) in marks.items()}
            for name, marks in self.special.items()
        }
        return found


def sentences(text: str) -> int:
    """How many sentences a text has: marks that end one, and a last one without a mark; 0 for an empty text."""
    text = text.strip()
    if not text:
        return 0
    ends = [match.end() for match in _SENTENCE.finditer(text)]
    return len(ends) + (not ends or ends[-1] < len(text))


def special_characters(text: str) -> Counter[str]:
    """Punctuation and symbols (Unicode categories P and S), each with how many times it occurs."""
    return Counter(mark for mark in text if unicodedata.category(mark)[0] in "PS")


def occurrences(answer: str, context: str) -> list[int]:
    """Where an answer begins in its context, overlapping ones too; nothing for an empty answer."""
    found, start = [], context.find(answer) if answer else -1
    while start >= 0:
        found.append(start)
        start = context.find(answer, start + 1)
    return found


def spread(values: Sequence[int]) -> Spread:
    """Summarize lengths; the percentile is the value of the nearest rank."""
    ordered = sorted(values)
    return Spread(
        ordered[0],
        statistics.median(ordered),
        round(statistics.fmean(ordered), 2),
        ordered[min(len(ordered) - 1, -(-len(ordered) * 95 // 100) - 1)],
        ordered[-1],
    )


def measure(name: str, rows: Sequence[Row], count_tokens: Callable[[str], int] | None = None) -> Stats:
    """Measure all rows of a dataset.

    Args:
        name: of the dataset.
        rows: at least one.
        count_tokens: how many tokens a text has; without it none are counted.
    """
    units: dict[str, Callable[[str], int]] = {"tokens": count_tokens} if count_tokens else {}
    units |= {"characters": len, "words": lambda text: len(text.split()), "sentences": sentences}
    values: dict[str, dict[str, list[int]]] = {}
    special: dict[str, Counter[str]] = {}
    marked: dict[str, Counter[str]] = {}
    for row in rows:
        for kind, text in fields(row):
            for unit, count in units.items():
                values.setdefault(kind, {}).setdefault(unit, []).append(count(text))
            marks = special_characters(text)
            special.setdefault(kind, Counter()).update(marks)
            marked.setdefault(kind, Counter()).update(set(marks))
    stats = Stats(
        name,
        len(rows),
        len({row.context for row in rows if row.context is not None}),
        {kind: {unit: spread(found) for unit, found in lengths.items()} for kind, lengths in values.items()},
        {kind: {mark: (n, marked[kind][mark]) for mark, n in marks.most_common()} for kind, marks in special.items()},
        values=values,
    )
    _answers(stats, rows)
    return stats


def _answers(stats: Stats, rows: Sequence[Row]) -> None:
    """Add where the answers stand in their contexts."""
    times: Counter[int] = Counter()
    positions = [0] * PARTS
    for row in rows:
        if row.context is None:
            continue
        if not row.answer.strip():
            stats.unanswerable.append(row.number)
            continue
        starts = occurrences(row.answer, row.context)
        times[len(starts)] += 1
        if starts:
            positions[starts[0] * PARTS // len(row.context)] += 1
        else:
            stats.not_in_context.append(row.number)
    stats.occurrences = dict(sorted(times.items()))
    stats.positions = positions if times else []
