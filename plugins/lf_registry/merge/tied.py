"""Input and output embeddings that share one tensor, and what becomes of that when an adapter changes one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .checkpoint import Base, Part
from .operations import OutTensor

#: How Transformers' models call the two layers; the body's prefix differs.
_INPUTS = ("embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings")
_OUTPUTS = ("lm_head", "embed_out")


@dataclass(frozen=True)
class Tie:
    """Two layers with one weight.

    Attributes:
        embedding: the input embedding's tensor in the checkpoint.
        head: the output layer's tensor; its name also when the checkpoint leaves it out.
        stored: whether the checkpoint holds both.
    """

    embedding: str
    head: str
    stored: bool

    def holds(self, tensors: Mapping[str, OutTensor], base: Base) -> bool:
        """Whether both layers still get the same values."""
        embedding, head = tensors[self.embedding], tensors[self.head]
        if (embedding.operations, embedding.shape) != (head.operations, head.shape):
            return False
        untouched = (
            self.stored and embedding.source == base.parts[self.embedding] and head.source == base.parts[self.head]
        )
        return untouched or embedding.source == head.source


def is_vocabulary(name: str) -> bool:
    """Whether a tensor has one row per token of the vocabulary."""
    return name.endswith(".weight") and name.split(".")[-2] in _INPUTS + _OUTPUTS


def same_bytes(one: Part, other: Part) -> bool:
    """Whether two tensors have the same type, shape and values, read a piece at a time."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    with one.path.open("rb") as first, other.path.open("rb") as second:
        first.seek(one.start)
        second.seek(other.start)
        left = one.end - one.start
        while left > 0:
            count = min(left, 1 << 20)
            if first.read(count) != second.read(count):
                return False
            left -= count
    return True


def find_tie(base: Base) -> Tie | None:
    """The tied layers of a model; None when they are two or the model has no output layer.

    A config that does not say leaves it to the model's class; then a checkpoint without an output layer is a tied one,
    and one with two layers of the same bytes.
    """
    inputs = [name for name in base.parts if is_vocabulary(name) and name.split(".")[-2] in _INPUTS]
    outputs = [name for name in base.parts if is_vocabulary(name) and name.split(".")[-2] in _OUTPUTS]
    text = base.config.get("text_config") or {}
    said = base.config.get("tie_word_embeddings", text.get("tie_word_embeddings"))
    generates = any(
        "CausalLM" in name or "LMHead" in name or "Generation" in name
        for name in base.config.get("architectures") or []
    )
    if len(inputs) != 1 or len(outputs) > 1 or said is False or not (outputs or generates):
        return None
    if outputs and not said and not same_bytes(base.parts[inputs[0]], base.parts[outputs[0]]):
        return None
    head = outputs[0] if outputs else ("embed_out.weight" if ".embed_in." in f".{inputs[0]}" else "lm_head.weight")
    return Tie(inputs[0], head, bool(outputs))
