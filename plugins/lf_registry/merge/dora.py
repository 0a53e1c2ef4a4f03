"""DoRA: ``magnitude / norm(W + delta) * (W + delta)``, in the order of PEFT 0.18 (``DoraLinearVariant``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .arithmetic import Scratch, load
from .operations import AddDelta


def dora(operation: AddDelta) -> Callable[[torch.Tensor, int, Scratch], torch.Tensor]:
    """A step of ``arithmetic.Rows``. The norm of an output runs over its whole row, so rows can be taken in pieces.

    A Conv1D weight is stored transposed, [in, out]: there the norms run down the columns, and all rows must be given.
    """
    assert operation.magnitude is not None
    a, b, magnitude = load(operation.a), load(operation.b), load(operation.magnitude)

    def rows(values: torch.Tensor, first: int, scratch: Scratch) -> Any:
        count, width = values.shape
        delta = torch.mm(b[first : first + count], a, out=scratch.get("delta", count, width))
        delta.mul_(operation.scaling)
        wide = scratch.get("wide", count, width)
        wide.copy_(values)
        wide.add_(delta)
        factor = magnitude[first : first + count] / torch.linalg.norm(wide, dim=1)
        wide.mul_(factor.view(-1, 1))
        return values.copy_(wide)

    def columns(values: torch.Tensor, first: int, scratch: Scratch) -> Any:
        delta = (b @ a).T * operation.scaling
        norms = torch.linalg.norm(values.T + delta.T, dim=1)
        factor = (magnitude / norms).view(-1, 1).T
        return (factor * (values + delta)).to(values.dtype)

    return columns if operation.transposed else rows
