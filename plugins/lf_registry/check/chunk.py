"""What the check of some rows has found, to be added up."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .report import Sample
from .tally import Tally


class Key(NamedTuple):
    """What stands for a row: everything in it, its question (None without one), and what is not in its messages."""

    text: bytes
    question: bytes | None
    context: bytes


@dataclass
class Chunk:
    """What was found in some consecutive rows of one dataset.

    Attributes:
        start: the number of rows before it.
        rows, kept: how many rows it has, and how many are trained on.
        whole, lengths, trained: for each kept row its tokens before the cut, after it, and those with a label.
        problems: by kind.
        keys: what stands for each row when looking for repetitions; None for a row that is not trained on.
        signatures: MinHash signatures, shape (rows, permutations); None when they were not asked for.
        compared, skipped: rows whose parity was compared, and that could not be.
        kto_tags: the tags that its rows are trained with: True for a good answer, False for a bad one.
    """

    start: int
    rows: int = 0
    kept: int = 0
    whole: array[int] = field(default_factory=lambda: array("I"))
    lengths: array[int] = field(default_factory=lambda: array("I"))
    trained: array[int] = field(default_factory=lambda: array("I"))
    problems: Tally = field(default_factory=Tally)
    keys: list[Key | None] = field(default_factory=list)
    signatures: Any = None
    samples: list[Sample] = field(default_factory=list)
    compared: int = 0
    skipped: int = 0
    kto_tags: set[bool] = field(default_factory=set)
