"""What is wrong with an answer whatever the question was: nothing said, no end, a loop, the persona's own text."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

#: The kinds of wrong answers, with the words for them.
FLAGS = {
    "empty": "empty answers",
    "never_stops": "answers that never stop",
    "repeats": "answers that repeat themselves",
    "leaks": "answers that recite the system prompt",
}

#: Bare numbering, `1. 2. 3. 4.`: four numbers in a row with nothing behind them.
_NUMBERING = re.compile(r"(?:\b\d{1,3}[.)]\s+){3,}\d{1,3}[.)]")
#: A piece of up to 80 characters, four times in a row or more. ㅋㅋㅋ is usual in Korean, ten of them are not.
_LOOP = re.compile(r"(\S.{0,79}?|\s)\1{3,}", re.DOTALL)
_SHORTEST_LOOP, _SHORTEST_NUMBER = 10, 30
#: Rules and table lines are drawn by repeating these.
_DRAWING = set("-=_*#|:+~─━ \t\n")
_NUMBER = set("0123456789,. ")
#: A sentence or line of at least so many characters that comes three times.
_SENTENCE, _TIMES = 10, 3
#: So many characters of the system prompt, word for word, are no coincidence.
_LEAK = 24


def flags(text: str, *, stopped: bool, system: str) -> list[str]:
    """What is wrong with one answer: keys of ``FLAGS``.

    Args:
        text: the answer.
        stopped: whether it ended by itself instead of at the limit of new tokens.
        system: everything that stood before the conversation: the persona.
    """
    found = {
        "empty": not text.strip(),
        "never_stops": not stopped,
        "repeats": repeats(text),
        "leaks": leaks(text, system),
    }
    return [name for name, wrong in found.items() if wrong]


def repeats(text: str) -> bool:
    """Whether an answer is caught in a loop.

    >>> [repeats(text) for text in ("1. 2. 3. 4. 5.", "ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ", "ㅋㅋㅋ 재밌네")]
    [True, True, False]
    """
    if _NUMBERING.search(text):
        return True
    for match in _LOOP.finditer(text):
        shortest = _SHORTEST_NUMBER if set(match[0]) <= _NUMBER else _SHORTEST_LOOP
        if len(match[0]) >= shortest and not set(match[0]) <= _DRAWING:
            return True
    sentences = Counter(part.strip() for part in re.split(r"[\n.!?。]+", text))
    return any(number >= _TIMES and len(sentence) >= _SENTENCE for sentence, number in sentences.items())


def leaks(text: str, system: str) -> bool:
    """Whether an answer recites the system prompt: 24 characters or more of it, white space not counted."""
    answer, persona = "".join(text.split()), "".join(system.split())
    if len(persona) < _LEAK or len(answer) < _LEAK:
        return False
    pieces = {persona[i : i + _LEAK] for i in range(len(persona) - _LEAK + 1)}
    return any(answer[i : i + _LEAK] in pieces for i in range(len(answer) - _LEAK + 1))


def hangul_share(texts: Iterable[str]) -> float | None:
    """The share of Hangul among the letters; None when there are no letters.

    >>> hangul_share(["가a", "나다"])
    0.75
    """
    letters = hangul = 0
    for text in texts:
        for character in unicodedata.normalize("NFC", text):
            if character.isalpha():
                letters += 1
                hangul += "가" <= character <= "힣" or "ㄱ" <= character <= "ㆎ" or "\u1100" <= character <= "\u11ff"
    return hangul / letters if letters else None
