"""Disk: the download, the checkpoints that are kept, the model that is merged."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..errors import WrongUsage
from ..peft_methods.settings import learns_prompt
from .cost import Cost, intervals
from .setup import Setup
from .shapes import Shape
from .trainable import read_trainable

_UNITS = {"": 1e9, "GB": 1e9, "G": 1e9, "GIB": 1024**3, "TB": 1e12, "T": 1e12, "TIB": 1024**4, "MB": 1e6}


@dataclass(frozen=True)
class Disk:
    """Bytes on disk.

    Attributes:
        download: the model's weights.
        checkpoint: one checkpoint; ``kept`` of them at the same time (one more than the limit while it is saved).
        output: the final weights in ``output_dir``.
        merged: the model after ``llamafactory-cli export``, 0 when there is nothing to merge.
    """

    download: float
    checkpoint: float
    kept: int
    output: float
    merged: float

    @property
    def total(self) -> float:
        """Bytes when everything is on the same volume."""
        return self.download + self.checkpoint * self.kept + self.output + self.merged


def estimate_disk(shape: Shape, setup: Setup, cost: Cost | None) -> Disk:
    """Estimate the disk that a run fills.

    A checkpoint holds the trained weights in the type they are trained in, and Adam's two moments in fp32 (8 bytes a
    trained parameter); under DeepSpeed also the fp32 weights (12 bytes), and below stage 3 the weights once more.
    """
    count = read_trainable(shape, setup).parameters
    width = 2 if setup.zero or setup.pure_bf16 else 4
    weights = width * count
    state = 8 if not setup.zero else 12 + (width if setup.zero.stage < 3 else 0)
    values = setup.values
    checkpoint = weights if values.get("save_only_model") is True else weights + state * count
    kept = _kept(setup, cost)
    peft = values.get("peft")
    adapter = setup.method in ("lora", "oft") and not (peft is not None and learns_prompt(peft))  # not merged
    return Disk(
        download=shape.parameters * shape.dtype_bytes,
        checkpoint=checkpoint,
        kept=kept,
        output=weights,
        merged=shape.parameters * 2 if adapter else 0,
    )


def _kept(setup: Setup, cost: Cost | None) -> int:
    values = setup.values
    strategy, limit = values.get("save_strategy", "steps"), values.get("save_total_limit")
    if strategy in ("no", False):
        return 0
    steps = cost.steps if cost else 1000
    if strategy == "epoch":
        saved = math.ceil(steps / cost.steps_per_epoch) if cost else 3
    else:
        every = values.get("save_steps", 500)
        saved = intervals(every, steps)
        if isinstance(every, int | float) and every >= 1 and steps % int(every):
            saved += 1  # the last step is always saved
    if isinstance(limit, int) and limit > 0:
        return min(saved, limit + 1)
    return saved


def parse_size(text: str) -> float:
    """Read ``200GB`` as bytes. Raises: WrongUsage."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if not match or match[2].upper() not in _UNITS or not float(match[1]) > 0:
        raise WrongUsage(f"--disk {text!r}: write a size above 0, such as 200GB or 1TB")
    return float(match[1]) * _UNITS[match[2].upper()]
