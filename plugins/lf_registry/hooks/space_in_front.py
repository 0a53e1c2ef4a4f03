"""Tokenizers that begin every text with a space, and how a text that follows another is tokenized all the same."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=8)
def puts_a_space_in_front(tokenizer: Any) -> bool:
    """Whether a tokenizer begins every text with a space of its own, as SentencePiece does for Llama 2 and SOLAR.

    An answer that is tokenized apart from its prompt then begins with one space more than in the whole conversation.
    """
    return behind_text(tokenizer, "a") != tokenizer.encode("a", add_special_tokens=False)


def behind_text(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text that follows another; a newline stands for it, which never merges with what comes next."""
    anchor = tokenizer.encode("\n", add_special_tokens=False)
    return tokenizer.encode("\n" + text, add_special_tokens=False)[len(anchor) :]
