"""Rows that say the same thing twice, within a dataset and between training and evaluation."""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zlib
from collections.abc import Sequence
from typing import Any

from .chunk import Key

#: Shingles of four characters suit Korean, where a word is two to four. Above this share of common shingles two texts
#: count as near duplicates.
_SHINGLE, THRESHOLD = 4, 0.8
#: MinHash permutations: the estimate of the share is then good to about 0.06.
_PERMUTATIONS = 48
_SCHEME = "affine32"
#: Near duplicates are looked for in so many rows of a dataset; their index takes about a kilobyte a row.
MOST_NEAR = 200_000
_NOT_A_LETTER = re.compile(r"[\W_]+")


def plain(text: str) -> str:
    """The letters and digits of a text, in one case and one Unicode form: what has to be equal for the same content."""
    return _NOT_A_LETTER.sub("", unicodedata.normalize("NFKC", text).casefold())


def key(text: str) -> bytes:
    """Eight bytes that stand for a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def signatures(texts: Sequence[str]) -> Any:
    """MinHash signatures of the texts (Broder 1997): an array of shape (texts, permutations)."""
    import numpy
    from datasketch import MinHash

    shingled = []
    for text in texts:
        letters = plain(text)
        parts = {letters[i : i + _SHINGLE] for i in range(max(1, len(letters) - _SHINGLE + 1))}
        shingled.append([part.encode("utf-8", "surrogatepass") for part in parts])
    made = MinHash.bulk(shingled, num_perm=_PERMUTATIONS, hashfunc=zlib.crc32, scheme=_SCHEME)
    return numpy.array([one.hashvalues for one in made], dtype=numpy.uint32).reshape(len(texts), _PERMUTATIONS)


class Seen:
    """The rows seen so far, to be asked whether a further one repeats one of them.

    Memory: about 150 bytes a row, and about a kilobyte for each of the first ``MOST_NEAR`` rows.
    """

    def __init__(self) -> None:
        from datasketch import LeanMinHash, MinHashLSH

        self._minhash = LeanMinHash
        self._exact: dict[bytes, str] = {}
        self._questions: dict[bytes, str] = {}
        self._near = MinHashLSH(threshold=THRESHOLD, num_perm=_PERMUTATIONS)
        self._signatures: dict[str, tuple[Any, bytes]] = {}

    def exact(self, key: Key) -> str | None:
        """The name of the row with the same text."""
        return self._exact.get(key.text)

    def question(self, key: Key) -> str | None:
        """The name of the row with the same question."""
        return self._questions.get(key.question) if key.question else None

    def near(self, key: Key, signature: Any) -> str | None:
        """The name of a row that is nearly the same."""
        asked = self._made(signature)
        for name in self._near.query(asked):
            other, context = self._signatures[name]
            if context == key.context and asked.jaccard(self._made(other)) >= THRESHOLD:
                return name
        return None

    def add(self, name: str, key: Key, signature: Any | None) -> None:
        """Remember a row."""
        self._exact.setdefault(key.text, name)
        if key.question:
            self._questions.setdefault(key.question, name)
        if signature is not None and len(self._signatures) < MOST_NEAR:
            self._signatures[name] = signature, key.context
            self._near.insert(name, self._made(signature), check_duplication=False)

    def _made(self, signature: Any) -> Any:
        return self._minhash(seed=1, hashvalues=signature, scheme=_SCHEME)
