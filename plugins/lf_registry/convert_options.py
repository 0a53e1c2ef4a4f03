"""How ``lf-registry convert`` is told to read a source."""

from __future__ import annotations

from dataclasses import dataclass, field

from .errors import WrongUsage, did_you_mean


@dataclass
class ReadOptions:
    """How to read a source.

    Attributes:
        markers: the texts in front of a question and of an answer.
        delimiter: between question and answer on one line, or between the columns of a CSV file.
        columns: our column (``prompt``, ``query``, ``response``, ``system``) -> the file's column; empty: guess.
    """

    markers: tuple[str, str] = ("<|question|>", "<|answer|>")
    delimiter: str | None = None
    columns: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(self.markers) or self.markers[0] == self.markers[1]:
            raise WrongUsage("--markers: needs two different texts, in front of a question and of an answer")


def parse_columns(text: str | None) -> dict[str, str]:
    """``prompt=Q,response=A`` as a mapping.

    Raises:
        WrongUsage: not ``ours=theirs``, an unknown column of ours, or prompt or response missing.
    """
    if text is None:
        return {}
    ours = ("prompt", "query", "response", "system")
    mapping = {}
    for part in text.split(","):
        key, equals, name = (piece.strip() for piece in part.partition("="))
        if not equals or not name:
            raise WrongUsage(f"--columns: {part.strip()!r} is not column=NAME", hint="--columns prompt=Q,response=A")
        if key not in ours:
            raise WrongUsage(f"--columns: {key!r} is unknown; {did_you_mean(key, ours, kind='columns')}")
        mapping[key] = name
    missing = [key for key in ("prompt", "response") if key not in mapping]
    if missing:
        raise WrongUsage(f"--columns: {' and '.join(missing)} missing", hint="--columns prompt=Q,response=A")
    return mapping
