"""Text of unknown origin, made safe to show: nothing in it steers a terminal or hides from the reader."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from itertools import count

#: Joiners are invisible by nature; emoji and several scripts are made with them.
_KEPT = "\n\u200c\u200d"


def visible(text: str) -> str:
    """The text with every invisible character but newlines shown: ESC as ``␛``, a tab as ``⇥``, others as ``<U+202E>``.

    So a data set cannot colour the terminal, move its cursor, turn the direction of writing round or hide letters; and
    a reader sees a no-break space where an ordinary one is meant. Characters newer than Python's Unicode are kept.
    """
    return text if text.isprintable() else "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character.isprintable() or character in _KEPT or unicodedata.category(character) == "Cn":
        return character
    code = ord(character)
    if character == "\t":
        return "⇥"
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"<U+{code:04X}>"


def unused(candidates: Iterable[str], text: str) -> str:
    """The first of some marks that does not stand in the text, so that it cannot be taken for content.

    A candidate may have several characters, all of which must be absent. When all marks stand in the text, they are
    doubled, trebled, and so on.
    """
    marks = list(candidates)
    return next(
        "".join(character * times for character in mark)
        for times in count(1)
        for mark in marks
        if not any(character * times in text for character in mark)
    )


def write_out(text: str) -> None:
    """Write to standard output; what its encoding does not know is written as an escape instead of an exception."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
