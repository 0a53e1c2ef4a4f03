"""A row as tokens with their text, for the preview."""

from __future__ import annotations

from typing import Any

from ..hooks.pipeline import IGNORE_INDEX
from .report import Sample, Token


def sample(dataset: str, row: int, ids: list[int], labels: list[int], tokenizer: Any) -> Sample:
    """One encoded row for the preview.

    A byte-level tokenizer spreads a Korean character over tokens that are no text alone; their text goes to the last of
    them.
    """
    tokens = []
    start = 0
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[start:end], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        whole = not text.endswith("\ufffd") or end - start >= 4 or end == len(ids)
        tokens.append(Token(ids[end - 1], text if whole else "", labels[end - 1] != IGNORE_INDEX))
        start = end if whole else start
    return Sample(dataset, row, tuple(tokens))
