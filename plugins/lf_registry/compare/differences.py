"""What is different between two answers: word by word, in short ones character by character."""

from __future__ import annotations

import difflib
import re

#: Words, white space, and single marks.
_PIECES = re.compile(r"\s+|\w+|[^\w\s]")
#: Answers that share less than this are other answers: marking nearly every word says nothing.
_ALIKE = 0.3
#: A short Korean answer is one or two words with their endings: its words differ as a whole, its characters do not.
_SHORT, _SHORT_ALIKE = 80, 0.5
#: Pieces of an answer beyond which the comparison would take long; nothing is marked then.
_MOST = 1500

Pieces = list[tuple[bool, str]]


def marked(before: str, after: str) -> tuple[Pieces, Pieces]:
    """Both texts as pieces that say whether they are only in this one.

    >>> marked("부산입니다", "서울입니다")[1]
    [(True, '서울'), (False, '입니다')]
    """
    plain = [(False, before)] if before else [], [(False, after)] if after else []
    short = max(len(before), len(after)) <= _SHORT
    first, second = (list(text) if short else _PIECES.findall(text) for text in (before, after))
    if before == after or max(len(first), len(second)) > _MOST:
        return plain
    matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
    if _alike(first, second, matcher.get_matching_blocks()) < (_SHORT_ALIKE if short else _ALIKE):
        return plain
    left: Pieces = []
    right: Pieces = []
    for kind, a, b, c, d in matcher.get_opcodes():
        if a < b:
            left.append((kind != "equal", "".join(first[a:b])))
        if c < d:
            right.append((kind != "equal", "".join(second[c:d])))
    return left, right


def _alike(first: list[str], second: list[str], blocks: list[difflib.Match]) -> float:
    """The share of characters that both have in common, white space not counted."""
    common = sum(_size(first[block.a : block.a + block.size]) for block in blocks)
    return 2 * common / max(_size(first) + _size(second), 1)


def _size(pieces: list[str]) -> int:
    return sum(len(piece) for piece in pieces if not piece.isspace())
