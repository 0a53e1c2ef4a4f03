"""Peak memory of a GPU: the largest of the moments of a training step, with what each part takes."""

from __future__ import annotations

from dataclasses import dataclass

from .activations import Activations, activations, evaluation_bytes
from .precision import Precision
from .setup import Setup
from .shapes import Shape
from .states import States, model_states
from .trainable import Trainable, read_trainable

GIB = 1024**3
#: Assumed, not measured here: a CUDA context with PyTorch's kernels and cuBLAS's workspace; NCCL's buffers.
CUDA_CONTEXT_BYTES = 0.6 * GIB
NCCL_BYTES = 0.5 * GIB
#: Assumed: what PyTorch's allocator reserves and cannot use, as a share of what comes and goes within a step.
FRAGMENTATION = 0.05


@dataclass(frozen=True)
class Memory:
    """What one GPU and its machine need.

    Attributes:
        parts: name -> bytes at the fullest moment, largest first; parts of 0 bytes are left out.
        moment: which moment that is.
        moments: moment -> bytes of all tensors.
        host: bytes of main memory that offloading takes, on the whole machine.
        trainable: how many parameters are trained; ``parameters`` of how many.
        length: tokens of a padded sequence that were assumed.
    """

    parts: dict[str, float]
    moment: str
    moments: dict[str, float]
    host: float
    trainable: int
    parameters: int
    length: int

    @property
    def total(self) -> float:
        """Bytes a GPU, as nvidia-smi shows them."""
        return sum(self.parts.values())

    @property
    def allocated(self) -> float:
        """Bytes of tensors, as ``torch.cuda.max_memory_allocated`` counts them."""
        return self.moments[self.moment]


def estimate_memory(
    shape: Shape, setup: Setup, gpus: int = 1, length: int | None = None, precision: Precision | None = None
) -> Memory:
    """Estimate the peak memory of one of ``gpus`` GPUs.

    Args:
        length: tokens of the longest sequence; ``cutoff_len`` when it is not known.
        precision: for other devices than CUDA.

    Raises:
        UserError: the recipe names a module that the model does not have.
    """
    trainable = read_trainable(shape, setup)
    longest = setup.cutoff if length is None or setup.packing else min(length, setup.cutoff)
    states = model_states(shape, setup, trainable, gpus)
    active = activations(shape, setup, trainable, longest, precision)
    moments = _moments(shape, setup, trainable, states, active)
    if setup.eval_batch:
        moments["evaluation"] = _evaluation(states, *evaluation_bytes(shape, setup, longest))
    moment = max(moments, key=lambda name: sum(moments[name].values()))
    parts = dict(moments[moment])
    moving = sum(size for name, size in parts.items() if name in _MOVING)
    parts["CUDA context"] = CUDA_CONTEXT_BYTES
    parts["NCCL"] = NCCL_BYTES if gpus > 1 else 0
    parts["fragmentation"] = FRAGMENTATION * moving
    return Memory(
        parts={name: size for name, size in sorted(parts.items(), key=lambda item: -item[1]) if size >= 1},
        moment=moment,
        moments={name: sum(sizes.values()) for name, sizes in moments.items()},
        host=states.host + active.host * gpus,
        trainable=trainable.parameters,
        parameters=shape.parameters,
        length=longest,
    )


def _evaluation(states: States, activations: float, logits: float) -> dict[str, float]:
    """What is there while the held-out set is evaluated: no gradients, but the optimizer's states stay."""
    return {
        **_fixed(states),
        "16-bit copies of weights": states.weight_cast,
        "activations": activations,
        "logits and loss": logits,
    }


def _fixed(states: States) -> dict[str, float]:
    """What is there all the time."""
    return {
        "frozen weights": states.frozen,
        "trained weights": states.trained,
        "adapter": states.adapter,
        "optimizer states": states.optimizer,
        "gathered weights": states.gathered,
        "communication buckets": states.buckets,
    }


_MOVING = ("activations", "recomputed layer", "working memory", "logits and loss", "16-bit copies of weights")


def _moments(
    shape: Shape, setup: Setup, trainable: Trainable, states: States, active: Activations
) -> dict[str, dict[str, float]]:
    """The moments at which a step can be fullest: name -> part -> bytes.

    Gradients from earlier micro-batches are there during the forward pass only when they are accumulated.
    """
    fixed = _fixed(states)
    earlier = setup.accumulation > 1 or (setup.zero is not None and setup.zero.stage >= 2)
    accumulated = states.gradients if earlier else 0
    width = 4 if states.weight_cast else 2  # of a gradient
    share = 1 / max(trainable.layers, 1)
    of_outside = (trainable.embedding + trainable.head) / max(trainable.parameters, 1)
    of_layer = (1 - of_outside) * share
    outside_cast = 2 * shape.head.weights if states.weight_cast and (trainable.head or trainable.embedding) else 0
    layer_cast = (states.weight_cast - outside_cast) * (share if setup.checkpointing else 1)
    # A matrix's gradient is made in 16 bits, cast, and added to what is there: it exists twice. That of a tied head is
    # held until the embedding's has come; both are then added up.
    tied = trainable.embedding if shape.tied else 0
    dequantized = 2 * max(part.weights for part in shape.layer) if setup.quantization_bit else 0
    in_layer = {
        "recomputed layer": active.recomputed,
        "16-bit copies of weights": layer_cast,
        "working memory": active.working + dequantized + trainable.largest * (6 if states.weight_cast else 2),
    }
    held = width * tied
    head_gradient = (trainable.head or tied) * (6 if states.weight_cast else 2)
    embedding_gradient = trainable.embedding * width * (3 if shape.tied else 1)
    before = {**fixed, "gradients": accumulated, "activations": active.kept}
    return {
        "end of the forward pass": {
            **before,
            "16-bit copies of weights": states.weight_cast,
            "logits and loss": active.logits_forward,
        },
        "start of the backward pass": {
            **before,
            "16-bit copies of weights": outside_cast if setup.checkpointing else states.weight_cast,
            "logits and loss": active.logits,
        },
        "gradient of the output layer": {
            **before,
            "16-bit copies of weights": outside_cast if setup.checkpointing else states.weight_cast,
            "logits and loss": active.logits / 6,
            "working memory": head_gradient,
        },
        "backward pass of the last layer": {
            **before,
            **in_layer,
            "gradients": (accumulated or states.gradients * (of_layer + of_outside)) + held,
        },
        "backward pass of the first layer": {
            **fixed,
            **in_layer,
            "gradients": (accumulated or states.gradients * (1 - of_outside)) + held,
            "activations": active.kept * share,
            "16-bit copies of weights": (states.weight_cast - outside_cast) * share,
        },
        "end of the backward pass": {
            **fixed,
            "gradients": accumulated or states.gradients * (1 - trainable.embedding / max(trainable.parameters, 1)),
            "working memory": embedding_gradient,
        },
        "optimizer step": {
            **fixed,
            "gathered weights": 0,
            "gradients": states.gradients + states.step_gradients,
            "working memory": states.step_extra,
        },
    }
