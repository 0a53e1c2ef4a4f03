"""What an adapter does to the base's modules, by their names in memory: plain data."""

from __future__ import annotations

from dataclasses import dataclass

from .checkpoint import Part


@dataclass(frozen=True)
class Lora:
    """A low-rank change of ``module``: ``W + scaling * B @ A``.

    Attributes:
        module: the module's name in memory.
        a, b: A is [r, in], B is [out, r]; of an embedding [r, rows] and [width, r].
        scaling: alpha / r, or alpha / sqrt(r) with rsLoRA.
        embedding: whether the module is an embedding.
        magnitude: DoRA's norms, [out], or None.
        bias: ``lora_bias``, [out], or None.
    """

    module: str
    a: Part
    b: Part
    scaling: float
    embedding: bool = False
    magnitude: Part | None = None
    bias: Part | None = None


@dataclass(frozen=True)
class Replace:
    """A parameter that takes the saved values: ``modules_to_save``, ``bias: all``, a resized vocabulary.

    Attributes:
        parameter: its name in memory.
        part: the new values.
        own: whether the module had its own copy while training (``modules_to_save``); otherwise the model's parameter,
            which a tied layer shares, was saved.
    """

    parameter: str
    part: Part
    own: bool


@dataclass(frozen=True)
class Tokens:
    """Rows of an embedding that are replaced: ``trainable_token_indices``."""

    module: str
    part: Part
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Experts:
    """A low-rank change of a parameter with one matrix per expert: ``target_parameters``.

    Attributes:
        module: the module that holds the parameter.
        depth: how many PEFT wrappers stand around this one; 0 is the outermost.
        a, b: A is [r * experts, dim 1 of the parameter], B is [dim 2, r * experts].
    """

    module: str
    depth: int
    a: Part
    b: Part


Change = Lora | Replace | Tokens | Experts
