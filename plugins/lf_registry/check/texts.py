"""What is wrong with a text itself: wrongly decoded bytes, Hangul in pieces, control tokens inside a message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: U+FFFD, and what it becomes when its UTF-8 bytes are read as cp949 or as Latin-1 once more.
_REPLACED = re.compile("\ufffd|占쏙옙|ï¿½")
#: Conjoining jamo: a syllable that was taken apart (NFD), as macOS does with file names and some exports.
_CONJOINING = re.compile(r"[\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]+")
#: Two or more syllables spelled letter by letter (ㅇㅏㄴㄴㅕㅇ). ㅋㅋㅋ, ㅠㅠ, ㅇㅇ and ㅇㅋ are ordinary Korean.
_SPELLED = re.compile(r"(?:[ㄱ-ㅎ][ㅏ-ㅣ][ㄱ-ㅎ]?){2,}")
_AROUND = 12


def text_problems(text: str, control: re.Pattern[str] | None) -> Iterator[tuple[str, str]]:
    """What is wrong with one text.

    Args:
        text: a message's content.
        control: matches the control tokens of the template and the tokenizer (``control_pattern``).

    Yields:
        (code, the place with some text around it).
    """
    if text.isascii():  # nothing of the rest can be in it, except a control token
        if control and (found := control.search(text)):
            yield "control-token", _excerpt(text, found.span())
        return
    from ftfy.badness import BADNESS_RE

    for code, pattern in (
        ("mojibake", _REPLACED),
        ("mojibake", BADNESS_RE),
        ("broken-hangul", _CONJOINING),
        ("broken-hangul", _SPELLED),
        ("control-token", control),
    ):
        if pattern and (found := pattern.search(text)):
            yield code, _excerpt(text, found.span())


def _excerpt(text: str, span: tuple[int, int]) -> str:
    start, end = max(span[0] - _AROUND, 0), min(span[1], span[0] + 40) + _AROUND
    return ("…" if start else "") + text[start:end].replace("\n", "⏎") + ("…" if end < len(text) else "")


def control_pattern(tokens: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern that matches any of the tokens, the longest first; None when there are none."""
    ordered = sorted({token for token in tokens if token.strip()}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None
