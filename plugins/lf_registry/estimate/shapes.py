"""A model's parameters: every matrix with its name and size, without building the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One module with weights.

    Attributes:
        name: its name inside a layer (``self_attn.q_proj``), or in the model (``model.embed_tokens``).
        rows: output width; for a norm its width.
        columns: input width; 0 for a norm, whose weight is a vector.
        bias: whether it has a bias of ``rows``.
        linear: an ``nn.Linear``: what LoRA's ``all`` and bitsandbytes reach. Transformers 5 keeps the experts of a
            mixture in 3-D parameters, which neither reaches.
        copies: number of experts, else 1.
    """

    name: str
    rows: int
    columns: int = 0
    bias: bool = False
    linear: bool = True
    copies: int = 1

    @property
    def weights(self) -> int:
        """Elements of the weight alone."""
        return self.copies * self.rows * max(self.columns, 1)

    @property
    def parameters(self) -> int:
        """Elements of weight and bias."""
        return self.weights + (self.copies * self.rows if self.bias else 0)

    def tensors(self) -> Iterator[tuple[str, int]]:
        """Each tensor as (name, elements)."""
        yield (f"{self.name}.weight" if self.linear or not self.columns else self.name), self.weights
        if self.bias:
            yield f"{self.name}.bias", self.rows


@dataclass(frozen=True)
class Shape:
    """What the estimate needs to know of a decoder-only language model.

    Attributes:
        model_type: as in config.json.
        hidden, layers, heads, kv_heads, head_dim, vocabulary: widths and counts.
        intermediate: width of the MLP, of one expert in a mixture.
        experts, experts_per_token: 0 and 1 without a mixture.
        norms: norms of the hidden width in a layer; ``qk_norm``: queries and keys are normed too.
        tied: the output layer is the input embedding.
        layer: the parts of one layer (all layers are alike).
        embedding, final_norm, head: the parts outside the layers; ``head`` counts 0 when tied.
        layer_prefix: where the layers are: ``model.layers``.
        dtype_bytes: bytes of a weight in the checkpoint, from ``dtype``/``torch_dtype``.
        soft_caps, logit_cap: Gemma 2 caps attention scores and logits, which saves one more tensor of each.
    """

    model_type: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    norms: int
    qk_norm: bool
    layer: tuple[Part, ...]
    embedding: Part
    final_norm: Part
    head: Part
    layer_prefix: str = "model.layers"
    experts: int = 0
    experts_per_token: int = 1
    dtype_bytes: int = 2
    soft_caps: bool = False
    logit_cap: bool = False

    @property
    def query_width(self) -> int:
        """Width of all heads together (not always the hidden size)."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key (or value) heads together."""
        return self.kv_heads * self.head_dim

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer."""
        return sum(part.parameters for part in self.layer)

    @property
    def outer(self) -> tuple[Part, ...]:
        """The parts outside the layers, a tied head left out."""
        return (self.embedding, self.final_norm) + (() if self.tied else (self.head,))

    @property
    def parameters(self) -> int:
        """All parameters, tied ones once: what ``sum(p.numel() for p in model.parameters())`` gives."""
        return self.layers * self.layer_parameters + sum(part.parameters for part in self.outer)

    @property
    def linear_parameters(self) -> int:
        """Weights of the layers' ``nn.Linear`` modules: what bitsandbytes quantizes (it leaves the head alone)."""
        return self.layers * sum(part.weights for part in self.layer if part.linear and part.columns)

    @property
    def matmul_parameters(self) -> int:
        """Weights that a token is multiplied with: all matrices and the head, of a mixture only the experts in use."""
        used = 0
        for part in self.layer:
            share = self.experts_per_token if part.copies > 1 else part.copies
            used += share * part.rows * part.columns
        return self.layers * used + self.head.rows * self.head.columns
