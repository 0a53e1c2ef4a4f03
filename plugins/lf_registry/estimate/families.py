"""How the model types that are estimated differ from Llama."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """How a ``model_type`` differs from Llama."""

    qkv_bias: bool | str = "attention_bias"
    output_bias: bool | str = "attention_bias"
    mlp_bias: bool | str = False
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    qk_norm: bool = False
    tied: bool = False
    head_dim: int | None = None
    experts: str | None = None
    expert_width: str = "intermediate_size"
    experts_default: int = 0


_GEMMA2 = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)
FAMILIES: dict[str, Family] = {
    "llama": Family(mlp_bias="mlp_bias"),
    "mistral": Family(qkv_bias=False, output_bias=False),
    "qwen2": Family(qkv_bias=True, output_bias=False),
    "qwen3": Family(qk_norm=True, head_dim=128),
    "gemma": Family(tied=True, head_dim=256),
    "gemma2": Family(tied=True, head_dim=256, norms=_GEMMA2),
    "gemma3_text": Family(tied=True, head_dim=256, norms=_GEMMA2, qk_norm=True),
    "exaone": Family(qkv_bias=False, output_bias=False, norms=("ln_1", "ln_2")),
    "exaone4": Family(
        qkv_bias=False,
        output_bias=False,
        qk_norm=True,
        norms=("post_attention_layernorm", "post_feedforward_layernorm"),
    ),
    "mixtral": Family(qkv_bias=False, output_bias=False, experts="num_local_experts", experts_default=8),
    "qwen3_moe": Family(qk_norm=True, experts="num_experts", expert_width="moe_intermediate_size", experts_default=128),
}
