"""Tokenizing a batch of rendered conversations; what all of them begin with (a persona) is tokenized once."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: A shared beginning shorter than this saves nothing.
_WORTH_IT = 40


@dataclass(frozen=True)
class Encoding:
    """The ids of one text.

    Attributes:
        ids: of the whole text.
        rest: the tokenizer's own encoding of what comes behind the shared beginning (None for a tokenizer in Python).
        characters, tokens: how long that beginning is.
    """

    ids: list[int]
    rest: Any = None
    characters: int = 0
    tokens: int = 0

    def inside(self, spans: Sequence[tuple[int, int]]) -> list[bool]:
        """For each token whether it lies in one of the spans of characters, none of which is in the beginning."""
        inside = [False] * len(self.ids)
        for start, end in spans:
            first = self.rest.char_to_token(start - self.characters)
            last = self.rest.char_to_token(end - 1 - self.characters)
            if first is None or last is None:
                continue
            # A byte-level tokenizer spreads a Korean character over several tokens; `last` is the first of them.
            following = self.rest.token_to_chars(last + 1)
            while following is not None and following[0] < end - self.characters:
                last += 1
                following = self.rest.token_to_chars(last + 1)
            first, last = first + self.tokens, last + self.tokens
            inside[first : last + 1] = [True] * (last + 1 - first)
        return inside


class BatchEncoder:
    """Tokenizes texts without special tokens of its own, as ``apply_chat_template`` does.

    The fast tokenizers cut a text at its special tokens first and work on each piece alone, so the shared beginning may
    be cut off behind a special token. That it makes no difference is looked at in the first text of every batch.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        tokens = [
            token.content
            for token in tokenizer.added_tokens_decoder.values()
            if token.special and not (token.lstrip or token.rstrip or token.normalized or token.single_word)
        ]
        self._special = re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True)))) if tokens else None

    def encode(self, texts: list[str], *, spans: list[list[tuple[int, int]]] | None = None) -> list[Encoding]:
        """Tokenize.

        Args:
            texts: the rendered conversations.
            spans: the parts whose tokens will be asked for, for each text.
        """
        if self._backend is None:
            return [self.whole(text) for text in texts]
        limit = min((start for some in spans or [] for start, _ in some), default=None)
        head = self._shared(texts, limit)
        first = self._backend.encode(head, add_special_tokens=False).ids if head else []
        encode = self._backend.encode_batch if spans is not None else self._backend.encode_batch_fast
        rests = encode([text[len(head) :] for text in texts], add_special_tokens=False)
        encodings = [Encoding(first + rest.ids, rest, len(head), len(first)) for rest in rests]
        if head and encodings[0].ids != self.whole(texts[0]).ids:
            self._special = None
            return self.encode(texts, spans=spans)
        return encodings

    def whole(self, text: str) -> Encoding:
        """Tokenize one text in one piece."""
        return Encoding(self._tokenizer.encode(text, add_special_tokens=False))

    def _shared(self, texts: list[str], limit: int | None) -> str:
        """What all texts begin with, up to the end of a special token and not beyond ``limit``."""
        common = os.path.commonprefix(texts)[:limit]  # noqa: RUF071, character by character is what is meant
        if self._special is None or len(texts) < 2 or len(common) < _WORTH_IT:
            return ""
        # The last token found may go on behind the common part; where a longer one begins is looked at in a whole text.
        ends = [match.end() for match in self._special.finditer(texts[0]) if match.end() <= len(common)]
        return common[: ends[-1]] if ends else ""
