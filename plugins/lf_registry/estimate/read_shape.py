"""The shape of a model from its config.json, family by family."""

from __future__ import annotations

from typing import Any

from ..errors import UserError, did_you_mean
from .families import FAMILIES, Family
from .shapes import Part, Shape

_NEEDED = ("hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
_DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def read_shape(config: dict[str, Any], where: str) -> Shape:
    """Turn a config.json into a shape.

    Args:
        config: the file's content.
        where: its path or the model's name, for error messages.

    Raises:
        UserError: lists every key that is missing or of a kind that the estimate does not know.
    """
    family = _family(config, where)
    problems = []
    depth = "num_layers" if config.get("model_type") == "exaone" and "num_layers" in config else "num_hidden_layers"
    for key in (*_NEEDED, depth, *((family.expert_width,) if family.experts else ())):
        if not isinstance(config.get(key), int) or isinstance(config.get(key), bool) or config[key] <= 0:
            problems.append(f"{where}: {key}: needs a whole number above 0, found {config.get(key)!r}")
    for key in ("num_key_value_heads", "head_dim"):
        value = config.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value <= 0):
            problems.append(f"{where}: {key}: needs a whole number above 0, or is left out; found {value!r}")
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "bfloat16").removeprefix("torch.")
    if dtype not in _DTYPE_BYTES:
        problems.append(f"{where}: dtype: {dtype!r} is not one of {', '.join(_DTYPE_BYTES)}")
    if config.get("quantization_config"):
        problems.append(f"{where}: quantization_config: the weights are quantized already, which is not estimated")
    if family.experts and (config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1):
        problems.append(f"{where}: mlp_only_layers, decoder_sparse_step: a mix of dense and sparse layers is not known")
    if problems:
        raise UserError(problems, hint="name the folder of a model with a complete config.json in model_name_or_path")
    return _build(config, family, config[depth], _DTYPE_BYTES[dtype])


def _family(config: dict[str, Any], where: str) -> Family:
    model_type = config.get("model_type")
    if "text_config" in config or "vision_config" in config:
        raise UserError(f"{where}: a model for images or sound; only text models are estimated")
    if not isinstance(model_type, str):
        raise UserError(f"{where}: model_type: is missing, so the architecture is unknown")
    if model_type not in FAMILIES:
        raise UserError(
            f"{where}: model_type: {model_type!r} is not estimated; {did_you_mean(model_type, FAMILIES, kind='types')}"
        )
    return FAMILIES[model_type]


def _flag(value: bool | str, config: dict[str, Any]) -> bool:
    return bool(config.get(value, False)) if isinstance(value, str) else value


def _build(config: dict[str, Any], family: Family, layers: int, dtype_bytes: int) -> Shape:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or family.head_dim or hidden // heads
    experts = config.get(family.experts) or family.experts_default if family.experts else 0
    width = config[family.expert_width if family.experts else "intermediate_size"]
    exaone = config["model_type"] == "exaone"
    qkv_bias, output_bias = _flag(family.qkv_bias, config), _flag(family.output_bias, config)
    attention = "attn.attention" if exaone else "self_attn"
    query, key = heads * head_dim, kv_heads * head_dim
    parts = [
        Part(f"{attention}.q_proj", query, hidden, qkv_bias),
        Part(f"{attention}.k_proj", key, hidden, qkv_bias),
        Part(f"{attention}.v_proj", key, hidden, qkv_bias),
        Part(f"{attention}.{'out_proj' if exaone else 'o_proj'}", hidden, query, output_bias),
    ]
    if family.qk_norm:
        parts += [Part(f"{attention}.q_norm", head_dim), Part(f"{attention}.k_norm", head_dim)]
    if experts:
        parts += [
            Part("mlp.gate.weight", experts, hidden, linear=False),
            Part("mlp.experts.gate_up_proj", 2 * width, hidden, linear=False, copies=experts),
            Part("mlp.experts.down_proj", hidden, width, linear=False, copies=experts),
        ]
    else:
        bias = _flag(family.mlp_bias, config)
        gate, up, down = ("c_fc_0", "c_fc_1", "c_proj") if exaone else ("gate_proj", "up_proj", "down_proj")
        parts += [Part(f"mlp.{gate}", width, hidden, bias), Part(f"mlp.{up}", width, hidden, bias)]
        parts += [Part(f"mlp.{down}", hidden, width, bias)]
    parts += [Part(name, hidden) for name in family.norms]
    vocabulary = config["vocab_size"]
    return Shape(
        model_type=config["model_type"],
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=width,
        vocabulary=vocabulary,
        tied=bool(config.get("tie_word_embeddings", family.tied)),
        norms=len(family.norms),
        qk_norm=family.qk_norm,
        layer=tuple(parts),
        embedding=Part("transformer.wte" if exaone else "model.embed_tokens", vocabulary, hidden, linear=True),
        final_norm=Part("transformer.ln_f" if exaone else "model.norm", hidden),
        head=Part("lm_head", vocabulary, hidden),
        layer_prefix="transformer.h" if exaone else "model.layers",
        experts=experts,
        experts_per_token=config.get("num_experts_per_tok") or (8 if config["model_type"] == "qwen3_moe" else 2)
        if experts
        else 1,
        dtype_bytes=dtype_bytes,
        soft_caps=bool(config.get("attn_logit_softcapping", config["model_type"] == "gemma2")),
        logit_cap=bool(config.get("final_logit_softcapping", config["model_type"] == "gemma2")),
    )
