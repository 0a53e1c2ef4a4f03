"""Which types a run computes in, and how many bytes that makes a tensor."""

from __future__ import annotations

from dataclasses import dataclass

from .setup import Setup


@dataclass(frozen=True)
class Precision:
    """Bytes of the tensors that are computed with.

    Attributes:
        compute: of a matrix product's input.
        residual: of the stream between layers.
        autocast: whether inputs are cast for every matrix product (a copy each).
        adapter_cast: whether LoRA's fp32 weights make PEFT cast each input to fp32 first.
        mask: bytes a dropout mask needs an element: 1 on CUDA; a CPU keeps the mask in the input's type.
    """

    compute: int
    residual: int
    autocast: bool
    adapter_cast: bool
    mask: int = 1


def precision_of(setup: Setup) -> Precision:
    """Which types a run computes in: DeepSpeed casts the whole model, otherwise autocast casts at each product."""
    if setup.precision == "fp32":
        return Precision(4, 4, False, False)
    if setup.zero or setup.pure_bf16:
        return Precision(2, 2, False, False)
    full = setup.method == "full"
    return Precision(2, 4 if full else 2, True, not full)
