"""Bytes that one layer's forward pass keeps for its backward pass, operation by operation.

The idea is that of Korthikanti et al. (arXiv 2205.05198, section 4): go through a layer operation by operation and
count what autograd saves. Their constants are for GPT with full training; these are for Transformers' Llama-like
layers, in which norms compute in fp32, the MLP has a gate, and LoRA leaves most inputs of frozen matrices unsaved.
"""

from __future__ import annotations

from .logits import LIGER
from .precision import Precision
from .setup import Setup
from .shapes import Part, Shape
from .trainable import Trainable

#: What the matrices of a layer read: its input, attention's output, the MLP's input, and what goes down from it.
QUERY, OUTPUT, MLP, DOWN = range(4)


def layer_bytes_per_token(
    shape: Shape, setup: Setup, trainable: Trainable, length: int, precision: Precision, *, trained: bool
) -> float:
    """Bytes that one layer saves a token.

    Args:
        trained: whether the layer's own weights are trained (full, or a freeze recipe's open layers).
        length: tokens of a sequence, for attention's quadratic part.
    """
    size, hidden, query = precision.compute, shape.hidden, shape.query_width
    liger = setup.liger and shape.model_type in LIGER
    total = 0.0
    # RMSNorm: the input in fp32, and the normed value when the norm's weight is trained.
    norm = size if liger else 4 + (max(precision.residual, size) if trained else 0)
    total += shape.norms * norm * hidden
    if shape.qk_norm:
        total += (4 + (size if trained else 0)) * (query + shape.kv_width)
    total += _attention(shape, setup, length, size)
    inputs = (hidden, query, hidden, shape.intermediate)
    used = shape.experts_per_token
    # Gate, its activation, up: three tensors (liger's SwiGLU keeps two).
    total += (2 if liger else 3) * size * used * shape.intermediate
    if shape.experts and trained:  # the token once for each of its experts, and each expert's answer
        total += 2 * size * used * hidden
    for group, width in enumerate(inputs):
        parts = [part for part in shape.layer if part.columns and group_of(part) == group]
        adapted = sum(part in trainable.targets for part in parts)
        count = used if group == DOWN else 1
        total += count * _input_bytes(group, width, len(parts), adapted, setup, precision, trained)
    total += size * setup.lora_rank * len(trainable.targets) if setup.method == "lora" else 0
    return total


def group_of(part: Part) -> int:
    """Which input a matrix reads."""
    name = part.name.split(".")[-1]
    if name in ("q_proj", "k_proj", "v_proj"):
        return QUERY
    if name in ("o_proj", "out_proj"):
        return OUTPUT
    return DOWN if name in ("down_proj", "c_proj") else MLP


def _input_bytes(
    group: int, width: int, matrices: int, adapted: int, setup: Setup, precision: Precision, trained: bool
) -> float:
    """Bytes a token that matrices reading the same input save of it.

    A frozen matrix saves nothing of its input. A trained one does: once for all that share it, or a 16-bit copy each
    when autocast casts an fp32 input. An adapted one saves what goes into LoRA's A: a copy of its own with dropout (and
    the mask) or a cast, else the shared input. Attention's output is saved by attention itself.
    """
    size, total = precision.compute, 0.0
    if trained:
        if group in (QUERY, MLP):
            copies = matrices if precision.autocast else 1
            total += copies * size * width
        elif group == DOWN:
            total += size * width
    if adapted:
        own = precision.adapter_cast or setup.lora_dropout > 0 or setup.method == "oft"
        if own:
            total += adapted * size * width
        elif group != OUTPUT:
            total += size * width
        if setup.lora_dropout > 0 and setup.method == "lora":
            # A CPU keeps the scaled mask in the input's type, which is fp32 when PEFT has cast it.
            mask = 1 if precision.mask == 1 else (4 if precision.adapter_cast else size)
            total += adapted * mask * width
    return total


def _attention(shape: Shape, setup: Setup, length: int, size: int) -> float:
    """Bytes a token that attention saves: queries, keys, values, output, and what its kind adds.

    SDPA gets a mask, because batches are padded: keys and values are then repeated for all heads and the mask is saved
    as numbers. FlashAttention 2 needs neither. Eager attention saves the scores' softmax in fp32 and again in 16 bits.
    """
    query, kv, heads = shape.query_width, shape.kv_width, shape.heads
    if setup.attention == "fa2":
        return size * (2 * query + 2 * kv) + 4 * heads
    if is_eager(shape, setup):
        scores = heads * length * (4 + (size if size != 4 else 0) + (size if shape.soft_caps else 0))
        return size * 4 * query + scores
    return size * 4 * query + 4 * heads + size * length


def is_eager(shape: Shape, setup: Setup) -> bool:
    """Gemma 2 caps its scores, so LLaMA-Factory computes them itself unless FlashAttention 2 is installed."""
    return setup.attention == "eager" or (shape.model_type == "gemma2" and setup.attention == "sdpa")
