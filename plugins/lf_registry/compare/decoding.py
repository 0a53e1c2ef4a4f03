"""How answers are made: the same for both sides."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import WrongUsage


@dataclass(frozen=True)
class Decoding:
    """The settings of a generation.

    Attributes:
        max_new_tokens: where an answer that does not end is cut off.
        temperature: 0 takes the likeliest token every time.
        top_p: sample among the likeliest tokens that together have this probability.
        seed: of the sampling.
        batch_size: prompts at once (requests at once, with a server).
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    batch_size: int = 8

    def __post_init__(self) -> None:
        wrong = []
        if self.max_new_tokens < 1:
            wrong.append(f"--max-new-tokens: must be at least 1, is {self.max_new_tokens}")
        if not 0 <= self.temperature <= 5:
            wrong.append(f"--temperature: must be from 0 to 5, is {self.temperature}")
        if not 0 < self.top_p <= 1:
            wrong.append(f"--top-p: must be above 0 and at most 1, is {self.top_p}")
        if self.top_p < 1 and not self.temperature:
            wrong.append("--top-p: has no effect without sampling; add --temperature 0.7")
        if self.batch_size < 1:
            wrong.append(f"--batch-size: must be at least 1, is {self.batch_size}")
        if wrong:
            raise WrongUsage(wrong)

    def as_settings(self) -> dict[str, float]:
        """What decides the answers: the batch size only where the random numbers of a batch are drawn at once."""
        settings: dict[str, float] = {"max_new_tokens": self.max_new_tokens, "temperature": self.temperature}
        if self.temperature:
            settings |= {"top_p": self.top_p, "seed": self.seed, "batch_size": self.batch_size}
        return settings
