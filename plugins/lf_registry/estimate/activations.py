"""Bytes that a forward pass keeps for the backward pass, and what both need for a moment."""

from __future__ import annotations

from dataclasses import dataclass

from .layer_activations import DOWN, group_of, is_eager, layer_bytes_per_token
from .logits import evaluation_logits_bytes, logits_bytes
from .precision import Precision, precision_of
from .setup import Setup
from .shapes import Shape
from .trainable import Trainable

#: Positions are padded to a multiple of this (LLaMA-Factory's collator, ``pad_to_multiple_of``).
PAD = 8


@dataclass(frozen=True)
class Activations:
    """Bytes on one GPU.

    Attributes:
        kept: what the forward pass leaves behind: everything, or with checkpointing each layer's input.
        recomputed: one layer's activations, while its backward pass runs (0 without checkpointing).
        working: gradients and copies inside that layer.
        logits: fp32 logits, their log-softmax and its gradient at the start of the backward pass.
        logits_forward: the same at the end of the forward pass.
        host: checkpoints that unsloth's kind of checkpointing moves to main memory.
    """

    kept: float
    recomputed: float
    working: float
    logits: float
    logits_forward: float
    host: float = 0.0


def padded(length: int) -> int:
    """A sequence length as the collator pads it."""
    return -(-length // PAD) * PAD


def activations(
    shape: Shape, setup: Setup, trainable: Trainable, length: int, precision: Precision | None = None
) -> Activations:
    """Compute a micro-batch's activations on one GPU, in bytes.

    Args:
        length: tokens of the longest sequence; all others are padded to it.
        precision: for other devices than CUDA.
    """
    precision = precision or precision_of(setup)
    length = padded(length)
    rows = setup.batch * setup.sequences
    tokens = rows * length
    whole = setup.method in ("full", "freeze")
    saved = layer_bytes_per_token(shape, setup, trainable, length, precision, trained=whole) * tokens
    reached = shape.layers
    if setup.method == "freeze" and int(setup.values.get("freeze_trainable_layers", 2)) > 0:
        reached = trainable.layers  # backward stops at the first trained layer; those below keep nothing
    final = (4 + (precision.residual if setup.method == "full" else 0)) * shape.hidden * tokens
    logits, logits_forward = logits_bytes(shape, setup, tokens)
    working = _working(shape, setup, trainable, precision) * tokens
    if is_eager(shape, setup):  # the scores' gradient before and after the softmax, in fp32
        working = max(working, 8 * rows * shape.heads * length * length)
    if not setup.checkpointing:
        return Activations(reached * saved + final, 0, working, logits, logits_forward)
    checkpoints = reached * precision.residual * shape.hidden * tokens
    mask = (1 + precision.compute) * rows * length * length if setup.attention != "fa2" else 0
    host = checkpoints if setup.offload_checkpoints else 0
    return Activations(checkpoints - host + final + mask, saved, working, logits, logits_forward, host)


def evaluation_bytes(shape: Shape, setup: Setup, length: int) -> tuple[float, float]:
    """Bytes of a batch that is evaluated, as (activations, logits): nothing is kept, one layer's tensors at a time.

    Args:
        length: tokens of the longest sequence that is evaluated.
    """
    length = padded(length)
    rows = setup.eval_batch * setup.sequences
    size = 4 if setup.precision == "fp32" else 2
    width = 3 * shape.hidden + 3 * shape.intermediate * shape.experts_per_token
    mask = 0 if setup.attention == "fa2" else (1 + size) * rows * length * length
    scores = 4 * rows * shape.heads * length * length if is_eager(shape, setup) else 0
    return size * rows * length * width + mask + scores, evaluation_logits_bytes(shape, setup, rows * length)


def _working(shape: Shape, setup: Setup, trainable: Trainable, precision: Precision) -> float:
    """Bytes a token of gradients inside a layer, in the MLP, which is the widest part.

    Two gradients of the MLP's width live at once. Through LoRA's fp32 casts there is one more in fp32, and with dropout
    the scaled copy of the input.
    """
    width = shape.intermediate * shape.experts_per_token
    total = 2.0 * precision.compute * width
    if precision.adapter_cast and any(group_of(part) == DOWN for part in trainable.targets):
        total += 4 * width + (2 * width if setup.lora_dropout > 0 else 0)
    return total
