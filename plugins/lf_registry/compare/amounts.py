"""Prices in an answer's text."""

from __future__ import annotations

import re
import unicodedata

_SMALL = {"": 1, "십": 10, "백": 100, "천": 1000}
_LARGE = {"만": 10**4, "억": 10**8, "조": 10**12}
_CURRENCY = r"(?:원|달러|유로|엔|위안|KRW|USD|EUR|JPY)"
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
#: An amount: `12,900`, `1억 2천만`, `3만 5,000`; a piece without a unit ends it.
_AMOUNT = re.compile(
    rf"(?P<sign>[-−]\s*)?(?P<before>[₩$€¥]\s*)?"
    rf"(?P<amount>(?:(?:{_NUMBER})\s*(?:[십백천]\s*[만억조]?|[만억조])\s*)*(?:{_NUMBER})\s*(?:[십백천]\s*)?[만억조]?)"
    rf"\s*(?P<after>{_CURRENCY})?(?P<percent>\s*%|\s*퍼센트)?",
    re.IGNORECASE,
)
_PIECE = re.compile(rf"({_NUMBER})\s*([십백천]?)\s*([만억조]?)")


def amount(text: str) -> float | None:
    """The amount that a text names: the first with a currency, else the first number that is no percentage.

    >>> [amount(text) for text in ("12,900원", "약 3만 5천원입니다", "1억 2,000만 원", "30% 할인해서 $7.5", "모름")]
    [12900.0, 35000.0, 120000000.0, 7.5, None]
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
    for number, small, large in _PIECE.findall(text):
        section += float(number.replace(",", "")) * _SMALL[small]
        if large:
            total, section = total + section * _LARGE[large], 0.0
    return total + section
