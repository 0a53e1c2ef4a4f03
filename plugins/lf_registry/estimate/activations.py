"""Bytes that a forward pass keeps for the backward pass, and what both need for a moment.

The idea is that of Korthikanti et al. (arXiv 2205.05198, section 4): go through a layer operation by operation and
count what autograd saves. Their constants are for GPT with full training; these are for Transformers' Llama-like
layers, in which norms compute in fp32, the MLP has a gate, and LoRA leaves most inputs of frozen matrices unsaved.
"""

from __future__ import annotations

from dataclasses import dataclass

from .logits import LIGER, evaluation_logits_bytes, logits_bytes
from .setup import Setup
from .shapes import Part, Shape
from .trainable import Trainable

_QUERY, _OUTPUT, _MLP, _DOWN = range(4)
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


def padded(length: int) -> int:
    """A sequence length as the collator pads it."""
    return -(-length // PAD) * PAD


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
        parts = [part for part in shape.layer if part.columns and _group(part) == group]
        adapted = sum(part in trainable.targets for part in parts)
        count = used if group == _DOWN else 1
        total += count * _input_bytes(group, width, len(parts), adapted, setup, precision, trained)
    total += size * setup.lora_rank * len(trainable.targets) if setup.method == "lora" else 0
    return total


def _group(part: Part) -> int:
    """Which input a matrix reads."""
    name = part.name.split(".")[-1]
    if name in ("q_proj", "k_proj", "v_proj"):
        return _QUERY
    if name in ("o_proj", "out_proj"):
        return _OUTPUT
    return _DOWN if name in ("down_proj", "c_proj") else _MLP


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
        if group in (_QUERY, _MLP):
            copies = matrices if precision.autocast else 1
            total += copies * size * width
        elif group == _DOWN:
            total += size * width
    if adapted:
        own = precision.adapter_cast or setup.lora_dropout > 0 or setup.method == "oft"
        if own:
            total += adapted * size * width
        elif group != _OUTPUT:
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
    if _is_eager(shape, setup):
        scores = heads * length * (4 + (size if size != 4 else 0) + (size if shape.soft_caps else 0))
        return size * 4 * query + scores
    return size * 4 * query + 4 * heads + size * length


def _is_eager(shape: Shape, setup: Setup) -> bool:
    """Gemma 2 caps its scores, so LLaMA-Factory computes them itself unless FlashAttention 2 is installed."""
    return setup.attention == "eager" or (shape.model_type == "gemma2" and setup.attention == "sdpa")


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
    if _is_eager(shape, setup):  # the scores' gradient before and after the softmax, in fp32
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
    scores = 4 * rows * shape.heads * length * length if _is_eager(shape, setup) else 0
    return size * rows * length * width + mask + scores, evaluation_logits_bytes(shape, setup, rows * length)


def _working(shape: Shape, setup: Setup, trainable: Trainable, precision: Precision) -> float:
    """Bytes a token of gradients inside a layer, in the MLP, which is the widest part.

    Two gradients of the MLP's width live at once. Through LoRA's fp32 casts there is one more in fp32, and with dropout
    the scaled copy of the input.
    """
    width = shape.intermediate * shape.experts_per_token
    total = 2.0 * precision.compute * width
    if precision.adapter_cast and any(_group(part) == _DOWN for part in trainable.targets):
        total += 4 * width + (2 * width if setup.lora_dropout > 0 else 0)
    return total
