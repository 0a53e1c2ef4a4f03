"""Prices in an answer's text."""

from __future__ import annotations

import re
import unicodedata

_DIGITS = {digit: value for value, digit in enumerate("일이삼사오육칠팔구", start=1)}
_SMALL = {"": 1, "십": 10, "백": 100, "천": 1000}
_LARGE = {"만": 10**4, "억": 10**8, "조": 10**12}
_CURRENCY = r"(?:원|달러|유로|엔|위안|KRW|USD|EUR|JPY)"
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
#: Words of one amount may stand apart; no more than this, so that a long text is read once and not again and again.
_GAP = r"\s{0,2}"
#: A digit as a word. `이 만 원` is «these 10,000 won»: in front of a blank, 이 and 일 are digits only behind a unit.
_DIGIT = rf"[삼사오육칠팔구]{_GAP}|(?<=[십백천만억조])[일이]{_GAP}|[일이]"
_PART = rf"(?:(?:{_NUMBER}){_GAP}|{_DIGIT})?(?:[십백천]{_GAP}[만억조]?|[만억조])"
#: What stands behind a currency: no syllable, or the first one of a particle (`만 원이다`), so that `천 원단` is cloth.
_END = r"(?![가-힣])|(?=[이은을에의입인으부짜대정씩쯤가도만까과선임밖어권])"
#: An amount in words, wholly or in part: `백만`, `만 5천`, `1억 천만`, `삼만 오천`. Without a currency it is none
#: (`만 6세`), and neither is one that is counted vaguely (`수십만 원`, `몇 만 원`).
_WORDS = (
    rf"(?<![가-힣\d])(?<!몇\s)(?>{_PART})(?:{_GAP}{_PART}){{0,12}}+(?:{_GAP}(?:{_NUMBER})|[일이삼사오육칠팔구])?"
    rf"(?={_GAP}{_CURRENCY}(?:{_END}))"
)
#: An amount: `12,900`, `1억 2천만`, `3만 5,000`; a piece without a unit ends it.
_AMOUNT = re.compile(
    rf"(?P<sign>[-−]\s*)?(?P<before>[₩$€¥]\s*)?(?P<amount>{_WORDS}|"
    rf"(?:(?:{_NUMBER})\s*(?:[십백천]\s*[만억조]?|[만억조])\s*)*(?:{_NUMBER})\s*(?:[십백천]\s*)?[만억조]?)"
    rf"\s*(?P<after>{_CURRENCY})?(?P<percent>\s*%|\s*퍼센트)?",
    re.IGNORECASE,
)
_PIECE = re.compile(rf"({_NUMBER}|[일이삼사오육칠팔구])?\s*([십백천]?)\s*([만억조]?)")


def amount(text: str) -> float | None:
    """The amount that a text names: the first with a currency, else the first number that is no percentage.

    >>> [amount(text) for text in ("12,900원", "약 3만 5천원입니다", "1억 2,000만 원", "30% 할인해서 $7.5", "모름")]
    [12900.0, 35000.0, 120000000.0, 7.5, None]
    >>> [amount(text) for text in ("백만 원", "만 5천 원", "삼만 오천 원", "수십만 원")]
    [1000000.0, 15000.0, 35000.0, None]
    """
    plain: float | None = None
    for match in _AMOUNT.finditer(unicodedata.normalize("NFKC", text)):
        if match["percent"]:
            continue
        value = _value(match["amount"]) * (-1 if match["sign"] and not _joins(match) else 1)
        if match["before"] or match["after"]:
            return value
        plain = value if plain is None else plain
    return plain


def _joins(match: re.Match[str]) -> bool:
    """Whether the sign stands between two numbers or words (`2024-11`), so that it is no minus."""
    return match.start() > 0 and not match.string[match.start() - 1].isspace()


def _value(text: str) -> float:
    """Korean numerals: thousands, hundreds and tens add up, and are then counted in 만, 억 or 조 (`3천 5백만`)."""
    total = section = 0.0
    for piece in _PIECE.finditer(text):
        number, small, large = piece.groups(default="")
        if piece.group().strip():  # a unit alone counts once: 백만 is a hundred times 만, 만 is 만
            section += (_DIGITS.get(number) or float(number.replace(",", "") or 1)) * _SMALL[small]
        if large:
            total, section = total + section * _LARGE[large], 0.0
    return total + section
