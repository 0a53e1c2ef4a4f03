"""The values of a recipe's keys, each of the type that LLaMA-Factory wants, or its default."""

from __future__ import annotations

import math

from ..errors import did_you_mean
from ..recipes import Recipe


class Values:
    """Takes values with their defaults and collects what is wrong with them."""

    def __init__(self, recipe: Recipe) -> None:
        self.values = recipe.values
        self.path = recipe.path
        self.problems: list[str] = []

    def problem(self, key: str, text: str) -> None:
        """Note what is wrong with a key."""
        self.problems.append(f"{self.path}: {key}: {text}")

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.problem(key, f"needs true or false, is {value!r}")
        return value is True

    def number(self, key: str, default: int, least: int = 1) -> int:
        """A whole number from ``least`` up."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.problem(key, f"needs a whole number from {least} up, is {value!r}")
            return default
        return value

    def real(self, key: str, default: float, least: float = 0.0, *, above: bool = False) -> float:
        """A finite number from ``least`` up, or ``above`` it."""
        value = self.values.get(key)
        if value is None:
            return default
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number) or number < least or (above and number == least):
            self.problem(
                key, f"needs a number {'above' if above else 'from'} {least:g}{'' if above else ' up'}, is {value!r}"
            )
            return default
        return number

    def choice(self, key: str, default: str, known: tuple[str, ...]) -> str:
        """One of the values in ``known``."""
        value = self.values.get(key, default)
        if value not in known:
            self.problem(key, f"{value!r} is not estimated; {did_you_mean(str(value), known, kind='values')}")
            return default
        return value
