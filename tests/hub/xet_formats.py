"""The two binary formats of Xet as far as a server needs them: where a xorb's chunks lie, and what a shard says.

Source: https://huggingface.co/docs/xet (xorb and shard formats).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

RECORD = 48
WITH_VERIFICATION, WITH_METADATA = 1 << 31, 1 << 30


def hash_text(raw: bytes) -> str:
    """A hash as text: four little-endian numbers of 64 bits."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))


@dataclass(frozen=True)
class Term:
    """A piece of a file: the chunks ``begin`` to ``end`` (exclusive) of a xorb, ``size`` bytes unpacked."""

    xorb: str
    size: int
    begin: int
    end: int


@dataclass(frozen=True)
class XetFile:
    """A file that a shard describes; ``sha256`` is "" when the client left it out."""

    hash: str
    sha256: str
    terms: tuple[Term, ...]

    @property
    def size(self) -> int:
        return sum(term.size for term in self.terms)


def files_of(shard: bytes) -> list[XetFile]:
    """The files of a shard: records of 48 bytes after a header of the same length, up to one whose hash is all ones."""
    found, place = [], RECORD
    while shard[place : place + 32] != b"\xff" * 32:
        flags, count = struct.unpack_from("<II", shard, place + 32)
        name = hash_text(shard[place : place + 32])
        terms = []
        for number in range(1, count + 1):
            start = place + number * RECORD
            _, size, begin, end = struct.unpack_from("<4I", shard, start + 32)
            terms.append(Term(hash_text(shard[start : start + 32]), size, begin, end))
        place += (1 + count * (2 if flags & WITH_VERIFICATION else 1)) * RECORD
        sha256 = ""
        if flags & WITH_METADATA:
            sha256 = hash_text(shard[place : place + 32])
            place += RECORD
        found.append(XetFile(name, sha256, tuple(terms)))
    return found


def chunk_offsets(xorb: bytes) -> list[int]:
    """Where each chunk of a xorb begins, and where the last one ends.

    A chunk has a header of 8 bytes: version 0, its packed length (3 bytes), how it is packed, its unpacked length. What
    follows the last chunk, when there is anything, does not begin with 0.
    """
    offsets, place = [], 0
    while place < len(xorb) and xorb[place] == 0:
        offsets.append(place)
        place += 8 + int.from_bytes(xorb[place + 1 : place + 4], "little")
    return [*offsets, place]
