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
        if self.dollars is None:
            return "cost not known"
        return f"${seconds / 3600 * self.dollars:.2f}"

    def __str__(self) -> str:
        if self.dollars is None:
            return "the price of this machine is not known; --price DOLLARS_AN_HOUR shows what each stage costs"
        return f"${self.dollars:.2f} an hour ({self.source})"


def duration(seconds: float) -> str:
    """``1 h 02 min``, with the seconds behind it: ``95 s``, ``12 min 05 s (725 s)``."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60:02d} s ({whole} s)"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min ({whole} s)"
