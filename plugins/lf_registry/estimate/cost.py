"""Time and money: floating-point operations over the speed a GPU is assumed to reach."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .gpus import Gpu
from .setup import Setup
from .shapes import Shape
from .tokens import DatasetTokens
from .trainable import read_trainable

#: Assumed shares of a GPU's utilization that remain; not measured here.
QUANTIZED, OFFLOADED, SPLIT, FP32 = 0.75, 0.25, 0.85, 0.125


@dataclass(frozen=True)
class Cost:
    """What a run takes.

    Attributes:
        steps: optimizer steps; ``steps_per_epoch`` of them an epoch.
        tokens: tokens computed over the whole run and all GPUs, padding included; ``padding`` is its share.
        flops: of training, all GPUs together.
        utilization: the assumed share of the GPU's 16-bit throughput.
        train_hours, eval_hours: wall-clock hours.
        dollars: for all GPUs; None where the price is not known.
    """

    steps: int
    steps_per_epoch: int
    tokens: int
    padding: float
    flops: float
    utilization: float
    train_hours: float
    eval_hours: float
    dollars: float | None

    @property
    def hours(self) -> float:
        """Training and evaluation together."""
        return self.train_hours + self.eval_hours


def flops_per_token(shape: Shape, setup: Setup, length: float) -> tuple[float, float]:
    """Floating-point operations a token: (training, evaluation).

    A forward pass takes 2 for each weight a token meets (Kaplan et al., arXiv 2001.08361, section 2.1) and 4 x layers x
    width x length for attention (PaLM, arXiv 2204.02311, appendix B, whose 12 covers forward and backward). A backward
    pass takes as much for the gradients of activations and as much again for those of weights; a frozen matrix has none
    of the latter, so LoRA saves a third. Gradient checkpointing runs the layers forward once more.
    """
    trainable = read_trainable(shape, setup)
    matrices = 2 * shape.matmul_parameters
    head = 2 * shape.head.rows * shape.head.columns
    attention = 4 * shape.layers * shape.query_width * length
    adapter = 2 * trainable.adapter
    forward = matrices + attention + adapter
    weight_gradients = matrices if setup.method == "full" else matrices * trainable.share if trainable.base else adapter
    backward = matrices + 2 * attention + adapter + weight_gradients
    if setup.method == "freeze":
        backward *= max(trainable.layers / shape.layers, 0.0)
    recomputed = forward - head if setup.checkpointing else 0
    # Forward passes without a backward one: DPO's reference model; KTO's also computes a second answer, as it does.
    more = 3 if setup.stage == "kto" else int(setup.uses_reference)
    return setup.sequences * (forward * (1 + more) + backward + recomputed), setup.sequences * forward * (1 + more)


def estimate_cost(shape: Shape, setup: Setup, tokens: DatasetTokens, gpus: int, gpu: Gpu) -> Cost | None:
    """Estimate a run's steps, hours and dollars; None when the dataset's rows cannot be counted."""
    if not tokens.lengths:
        return None
    values = setup.values
    lengths = tokens.packed(setup.cutoff) if setup.packing else tokens.lengths
    per_step = setup.batch * gpus
    batches = len(lengths) // per_step if values.get("dataloader_drop_last") is True else -(-len(lengths) // per_step)
    steps_per_epoch = max(-(-batches // setup.accumulation), 1)
    epochs = _number(values.get("num_train_epochs"), 3.0)
    wanted = _number(values.get("max_steps"), -1)
    steps = int(wanted) if wanted > 0 else math.ceil(epochs * steps_per_epoch)
    rounds = steps / steps_per_epoch
    mean = sum(lengths) / len(lengths)
    longest = expected_longest(lengths, setup.batch)
    train_flop, _ = flops_per_token(shape, setup, longest)
    count = rounds * len(lengths) * longest
    utilization = gpu.utilization * _slowdown(setup, gpus)
    speed = gpus * gpu.tflops * 1e12 * utilization
    trainable = read_trainable(shape, setup).parameters
    # An optimizer's step reads and writes weights, gradients and two moments: about 30 bytes a trained parameter.
    optimizer_seconds = steps * 30 * trainable / gpu.bandwidth / 1e9
    train_seconds = count * train_flop / speed + optimizer_seconds
    eval_seconds = 0.0
    if tokens.eval_lengths:
        batch = int(_number(values.get("per_device_eval_batch_size"), 8))
        width = expected_longest(tokens.eval_lengths, batch)
        _, flop = flops_per_token(shape, setup, width)
        eval_seconds = evaluations(values, steps, rounds) * len(tokens.eval_lengths) * width * flop / speed
    hours = (train_seconds + eval_seconds) / 3600
    return Cost(
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        tokens=round(count),
        padding=1 - mean / longest,
        flops=count * train_flop,
        utilization=utilization,
        train_hours=train_seconds / 3600,
        eval_hours=eval_seconds / 3600,
        dollars=None if gpu.dollars is None else hours * gpus * gpu.dollars,
    )


def expected_longest(lengths: list[int], batch: int) -> float:
    """Expected length of the longest of ``batch`` rows drawn at random: what a batch is padded to.

    With the lengths in order, the i-th of n is the longest with probability (i/n)^batch - ((i-1)/n)^batch.
    """
    ordered, n = sorted(lengths), len(lengths)
    batch = min(batch, n)
    return sum(length * (((i + 1) / n) ** batch - (i / n) ** batch) for i, length in enumerate(ordered))


def evaluations(values: dict[str, Any], steps: int, rounds: float) -> int:
    """How often the held-out set is evaluated."""
    strategy = values.get("eval_strategy", "no")
    if strategy == "epoch":
        return math.ceil(rounds)
    if strategy != "steps":
        return 0
    return intervals(values.get("eval_steps", values.get("logging_steps", 500)), steps)


def intervals(every: Any, steps: int) -> int:
    """How often something happens that is due every so many steps; below 1 it is a share of all steps."""
    number = _number(every, 500)
    if number <= 0:
        return 0
    return steps // max(math.ceil(number * steps) if number < 1 else int(number), 1)


def _slowdown(setup: Setup, gpus: int) -> float:
    factor = QUANTIZED if setup.quantization_bit else 1.0
    if setup.precision == "fp32":
        factor *= FP32
    if setup.zero and (setup.zero.offload_parameters or setup.zero.offload_optimizer):
        return factor * OFFLOADED
    return factor * SPLIT if setup.zero and setup.zero.stage == 3 and gpus > 1 else factor


def _number(value: Any, default: float) -> float:
    try:
        return float(value) if value is not None and not isinstance(value, bool) else default
    except (TypeError, ValueError):
        return default
