"""Answers that are one of a few labels."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    import numpy as np

#: References of more kinds than this are texts, not labels.
MOST_LABELS = 100


@dataclass(frozen=True)
class Labels:
    """The labels, as the references have them.

    Attributes:
        names: each once, in the order of the first row that has it.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, references: Sequence[str]) -> Labels:
        """The labels among the references.

        Raises:
            UserError: there are so many that these are no labels.
        """
        names = tuple(dict.fromkeys(map(plain, references)))
        if len(names) > MOST_LABELS:
            raise UserError(
                f"--metric accuracy, macro_f1: the references have {len(names)} different texts, so they are no labels "
                f"(at most {MOST_LABELS})",
                hint="--metric exact_match,f1",
            )
        return cls(names)

    def code(self, answer: str) -> int:
        """The number of the label that an answer gives: it is the label, or names exactly one; else -1.

        A label inside a longer one (``긍정`` in ``매우 긍정``) does not count beside it.
        """
        text = plain(answer)
        if text in self.names:
            return self.names.index(text)
        found = set()
        for name in sorted(filter(None, self.names), key=len, reverse=True):
            # A label in Latin letters or digits is a word of its own; behind a Korean one there may be a particle.
            pattern = rf"(?<!\w){re.escape(name)}" + (r"(?![A-Za-z0-9_])" if name[-1].isascii() else "")
            text, number = re.subn(pattern, "\0", text)
            if number:
                found.add(name)
        return self.names.index(found.pop()) if len(found) == 1 else -1

    def pair(self, answer: str, reference: str) -> float:
        """Both codes as one number, for ``macro_f1``."""
        return float(self.code(reference) * (MOST_LABELS + 1) + self.code(answer) + 1)


def is_right(pair: float) -> float:
    """1 when both codes of a pair are the same label, else 0."""
    gold, got = divmod(int(pair), MOST_LABELS + 1)
    return float(gold == got - 1)


def plain(text: str) -> str:
    """A label without case, white space and final punctuation."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split()).strip(" .!?。\"'")


def macro_f1(pairs: np.ndarray) -> np.ndarray:
    """F1 of each label that is in the references, averaged over them.

    Args:
        pairs: numbers from ``Labels.pair``, shape (..., answers).

    Returns:
        Shape (...): 2 TP / (2 TP + FP + FN), the mean over the labels of the references. An answer without a label is
        wrong for the label it should have had, and for no other.
    """
    import numpy as np

    gold, got = np.divmod(pairs.astype(np.int64), MOST_LABELS + 1)
    got -= 1
    scores, present = np.zeros(pairs.shape[:-1]), np.zeros(pairs.shape[:-1])
    for label in np.unique(gold):
        right = ((gold == label) & (got == label)).sum(axis=-1)
        both = (gold == label).sum(axis=-1) + (got == label).sum(axis=-1)
        there = (gold == label).any(axis=-1)
        scores += np.where(there, 2 * right / np.maximum(both, 1), 0.0)
        present += there
    return scores / np.maximum(present, 1)
