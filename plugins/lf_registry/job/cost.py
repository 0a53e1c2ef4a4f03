"""Seconds and dollars."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Price:
    """What an hour of this machine costs.

    Attributes:
        dollars: an hour; None: not known.
        source: where that is from, with its date.
    """

    dollars: float | None = None
    source: str = ""

    def of(self, seconds: float) -> str:
        """What so many seconds cost, as text."""
        return cost_text(0, seconds) if self.dollars is None else cost_text(seconds / 3600 * self.dollars, 0)

    def __str__(self) -> str:
        if self.dollars is None:
            return "the price of this machine is not known; --price DOLLARS_AN_HOUR shows what each stage costs"
        return f"${self.dollars:.2f} an hour ({self.source})"


def cost_text(dollars: float, unpriced: float) -> str:
    """``$1.20``, and the seconds for which no price was known."""
    if not unpriced:
        return f"${dollars:.2f}"
    return f"${dollars:.2f} and {duration(unpriced)} without a price" if dollars else "cost not known"


def duration(seconds: float) -> str:
    """``1 h 02 min``, with the seconds behind it: ``95 s``, ``12 min 05 s (725 s)``."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60:02d} s ({whole} s)"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min ({whole} s)"
