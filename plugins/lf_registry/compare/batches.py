"""Batches: what goes into one, what comes out, and when the first token came."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .chat import Asked

#: Tokens of prompts and references, padding counted, that are scored at once.
_SCORED_AT_ONCE = 4096


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        index: the prompt's number.
        text: the answer without special tokens.
        tokens: how many, the one that ends it included.
        stopped: whether it ended by itself.
    """

    index: int
    text: str
    tokens: int
    stopped: bool


@dataclass(frozen=True)
class Batch:
    """The answers of one batch.

    Attributes:
        answers: one per prompt.
        seconds: from the start to the last token.
        first_token_seconds: from the start to the first token; None when nobody could see it.
        peak_bytes: the most memory of the side so far; None when it is not known.
    """

    answers: list[Answer]
    seconds: float
    first_token_seconds: float | None
    peak_bytes: int | None


class Clock:
    """A stopping criterion that never stops, and sees when the first token is there."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self.first: float | None = None

    def now(self) -> float:
        """Seconds, when the GPU has done what it was asked for."""
        import torch

        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """For Transformers, after every token: stop nothing."""
        import torch

        if self.first is None:
            self.first = self.now()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def of_one_length(batch: Sequence[Asked]) -> list[list[Asked]]:
    """A batch in parts whose prompts have the same number of tokens, so that none is padded."""
    lengths = dict.fromkeys(len(asked.ids) for asked in batch)
    return [[asked for asked in batch if len(asked.ids) == length] for length in lengths]


def groups(asked: Sequence[Asked]) -> Iterator[list[Asked]]:
    """Groups whose padded tokens stay below the limit; what is longest comes first, and decides the padding."""
    group: list[Asked] = []
    for one in asked:
        longest = len((group or [one])[0].ids) + len((group or [one])[0].answer)
        if group and longest * (len(group) + 1) > _SCORED_AT_ONCE:
            yield group
            group = []
        group.append(one)
    if group:
        yield group
