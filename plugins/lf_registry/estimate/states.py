"""Bytes that stay on a GPU for the whole run: weights, gradients, optimizer states."""

from __future__ import annotations

from dataclasses import dataclass

from .setup import Setup
from .shapes import Shape
from .trainable import Trainable

#: Optimizer state in bytes a trained parameter, when the states are fp32: Adam keeps two, Lion and RMSprop one.
#: The 8-bit ones of bitsandbytes keep a byte a state and an fp32 scale for each 256 (arXiv 2110.02861).
_PER_PARAMETER = {"sgd": 0.0, "adagrad": 4.0, "rmsprop": 4.0, "muon": 4.0, "ademamix": 12.0}
_EIGHT_BIT = 1 + 4 / 256
#: DeepSpeed's own estimators multiply main memory by this for buffers (``additional_buffer_factor``).
HOST_FACTOR = 1.5


@dataclass(frozen=True)
class States:
    """Bytes a GPU (and main memory of a machine) for what does not depend on the batch.

    Attributes:
        frozen, trained, adapter: weights on each GPU, gathered ones not included.
        gradients: while micro-batches are accumulated; ``step_gradients`` is added during the optimizer's step.
        optimizer: states, with DeepSpeed's fp32 copy of the trained weights.
        step_extra: what the optimizer's step allocates for a moment.
        weight_cast: autocast's 16-bit copy of fp32 weights during a forward pass.
        gathered: ZeRO-3's weights that are whole on each GPU for a moment.
        buckets: buffers for communication.
        host: main memory of the whole machine, for ``gpus`` GPUs.
    """

    frozen: float
    trained: float
    adapter: float
    gradients: float
    step_gradients: float
    optimizer: float
    step_extra: float
    weight_cast: float
    gathered: float
    buckets: float
    host: float


def quantized_bytes(shape: Shape, setup: Setup) -> float:
    """Bytes of the whole model when bitsandbytes quantizes the layers' linear modules.

    NF4 is half a byte a weight and a scale for each block of 64: fp32 (4 bytes), or, with double quantization, one byte
    and an fp32 scale for each 256 of those (QLoRA, arXiv 2305.14314, section 3: 0.127 bits a parameter). LLM.int8()
    (arXiv 2208.07339) is a byte a weight and an fp32 scale a row. Embedding, head and norms keep 16 bits.
    """
    linear = shape.linear_parameters
    rest = (shape.parameters - linear) * shape.dtype_bytes
    if setup.quantization_bit == 8:
        rows = shape.layers * sum(part.rows for part in shape.layer if part.linear and part.columns)
        return linear + 4 * rows + rest
    scales = linear / 64
    return linear / 2 + (scales + 4 * scales / 256 if setup.double_quantization else 4 * scales) + rest


def model_states(shape: Shape, setup: Setup, trainable: Trainable, gpus: int) -> States:
    """Compute the bytes of weights, gradients and optimizer states.

    Without DeepSpeed, LLaMA-Factory 0.9.5 (model/adapter.py) keeps trained parameters in fp32 unless ``pure_bf16``, so
    AdamW needs 4 + 4 + 8 bytes a trained parameter. With DeepSpeed, weights and gradients are 16-bit; each GPU keeps
    fp32 weights and moments (12 bytes) and, during the step, fp32 gradients (4 bytes) of its part: all of it at stage
    0, a share of the optimizer at 1, of the gradients too at 2, of the weights too at 3 (ZeRO, arXiv 1910.02054).
    Stage 2 is then what DeepSpeed's ``estimate_zero2_model_states_mem_needs`` says; its estimator for stage 3 has 18
    bytes a parameter where this has 16, and 4 of the sub-group that is being stepped.
    """
    frozen_count = shape.parameters - trainable.base
    loaded = quantized_bytes(shape, setup) if setup.quantization_bit else frozen_count * shape.dtype_bytes
    reference = 0.0
    if setup.reference_model:  # loaded like the model itself; one named by ref_model counts as one of its size
        reference = quantized_bytes(shape, setup) if setup.quantization_bit else shape.parameters * shape.dtype_bytes
    if setup.zero:
        return _deepspeed(shape, setup, trainable, gpus, loaded, reference)
    width = 2 if setup.pure_bf16 else 4
    trained, count = width * trainable.base, trainable.parameters
    optimizer = count * _optimizer_bytes(setup, width) if setup.optimizer != "adafactor" else 4 * trainable.factored
    if setup.optimizer in ("galore", "apollo"):
        optimizer = _low_rank_bytes(shape, setup, trainable)
    cast = setup.precision != "fp32" and not setup.pure_bf16
    layerwise = setup.values.get(f"{setup.optimizer}_layerwise") is True and setup.optimizer in ("galore", "apollo")
    return States(
        frozen=loaded + reference,
        trained=trained,
        adapter=width * trainable.adapter,
        gradients=width * (trainable.largest if layerwise else count),  # layerwise: each is used and freed at once
        step_gradients=0,
        optimizer=optimizer,
        step_extra=width * count if setup.optimizer == "adamw_torch" else 0,  # its foreach form; the default is fused
        weight_cast=2 * _cast_weights(shape, trainable) if cast else 0,
        gathered=0,
        buckets=width * count if gpus > 1 else 0,  # DistributedDataParallel's buckets hold all gradients once more
        host=0,
    )


def _cast_weights(shape: Shape, trainable: Trainable) -> int:
    """Elements of trained matrices that are multiplied with: an embedding is looked up, so autocast leaves it alone."""
    head = shape.head.weights if shape.tied and trainable.embedding else 0
    return trainable.parameters - trainable.embedding + head


def _optimizer_bytes(setup: Setup, width: int) -> float:
    """Bytes of optimizer state a parameter; unknown optimizers count as AdamW (see ``notes``)."""
    name = setup.optimizer
    states = 1 if "lion" in name else 2
    if "8bit" in name or name == "adamw_bnb_8bit":
        return states * _EIGHT_BIT
    if name == "adam_mini":
        return float(width)  # one second moment for a block of parameters
    for known, size in _PER_PARAMETER.items():
        if name.startswith(known):
            return size * width / 4
    return float(states * width)


def _low_rank_bytes(shape: Shape, setup: Setup, trainable: Trainable) -> float:
    """GaLore's and APOLLO's states: two moments of rank x the longer side, and the projection (2403.03507)."""
    rank = int(setup.values.get(f"{setup.optimizer}_rank", 16) or 16)
    low, covered = 0, 0
    for part in shape.layer:
        if part.linear and part.columns:
            long, short = max(part.rows, part.columns), min(part.rows, part.columns)
            low += trainable.layers * rank * (2 * long + short)
            covered += trainable.layers * part.weights
    return 4 * low + 8 * max(trainable.parameters - covered, 0)


def _deepspeed(shape: Shape, setup: Setup, trainable: Trainable, gpus: int, loaded: float, reference: float) -> States:
    zero = setup.zero
    assert zero is not None
    half = 2 if zero.half and setup.precision != "fp32" else 4
    count = trainable.parameters
    shard = [1, gpus, gpus, gpus][zero.stage]
    whole_weights = loaded if setup.quantization_bit else half * (shape.parameters - trainable.base)
    split_weights = zero.stage == 3
    parts = gpus if split_weights else 1
    frozen_parts = 1 if setup.quantization_bit else parts  # ZeRO-3 does not split bitsandbytes' 4-bit weights
    master = 4 if half == 2 else 0
    optimizer = (master + _optimizer_bytes(setup, 4)) * count / shard
    gradients = half * count / (gpus if zero.stage >= 2 else 1)
    # Stage 3 steps through sub-groups, each of which gets fp32 gradients.
    at_once = min(zero.sub_group, count / shard) if zero.stage == 3 else count / shard
    step_gradients = 4 * at_once if half == 2 else 0
    host = 0.0
    frozen, trained, adapter = (
        whole_weights / frozen_parts + reference / parts,
        half * trainable.base / parts,
        half * trainable.adapter / parts,
    )
    if zero.offload_optimizer:
        host += HOST_FACTOR * 16 * count
        optimizer, gradients, step_gradients = 0, 0, 0
    gathered = 0.0
    if split_weights and (gpus > 1 or zero.offload_parameters):
        gathered = half * min(zero.live, shape.parameters)
        if setup.quantization_bit:
            gathered = 0.0
    if zero.offload_parameters:
        host += HOST_FACTOR * (frozen + trained + adapter) * (gpus if split_weights else 1)
        frozen, trained, adapter = (frozen if setup.quantization_bit else 0.0), 0.0, 0.0
    bucket = zero.reduce_bucket if zero.reduce_bucket is not None else shape.hidden * shape.hidden
    buckets = half * bucket * zero.buckets if zero.stage >= 1 else half * count
    return States(
        frozen=frozen,
        trained=trained,
        adapter=adapter,
        gradients=gradients,
        step_gradients=step_gradients,
        optimizer=optimizer,
        step_extra=0,
        weight_cast=0,
        gathered=gathered,
        buckets=buckets if zero.stage != 3 else half * bucket,
        host=host if not zero.nvme else 0.0,
    )
