"""Whether a ``peft:`` key fits the model: its layers, its sizes and its context, as its ``config.json`` gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .settings import Problem, Settings

#: A size -> the names it has in the configurations of Transformers, in the order in which PEFT looks for them
#: (``_prepare_prompt_learning_config`` in ``peft/utils/other.py``).
_NAMES = {
    "num_layers": ("num_hidden_layers", "num_layers", "n_layer"),
    "token_dim": ("hidden_size", "n_embd", "d_model"),
    "num_attention_heads": ("num_attention_heads", "n_head", "num_heads", "encoder_attention_heads"),
    "context": ("max_position_embeddings", "n_positions"),
}
_WORDS = {"num_layers": "layers", "token_dim": "numbers per token", "num_attention_heads": "attention heads"}
#: Sizes that only a prefix has: the other prompts are embeddings in front of the first layer.
PREFIX_ONLY = ("num_layers", "num_attention_heads")


def size(config: Mapping[str, Any], name: str) -> int | None:
    """A model's ``num_layers``, ``token_dim``, ``num_attention_heads`` or ``context``; None when it does not say."""
    text = config.get("text_config")
    config = text if isinstance(text, Mapping) else config
    return next((value for key in _NAMES[name] if type(value := config.get(key)) is int), None)


def misfits(settings: Settings, config: Mapping[str, Any], *, longer: bool = False) -> Iterator[Problem]:
    """What fails in PEFT, or trains numbers that the model never reads, because of the model's sizes.

    Args:
        settings: the ``peft:`` key.
        config: the model's configuration; empty when it is not known, and nothing is found.
        longer: the recipe stretches the context (``rope_scaling:``), so that ``config`` does not say how long it is.
    """
    name, values = settings.method.name, settings.values
    if settings.method.prompt:
        yield from _sizes(settings, config)
        longest, tokens = size(config, "context"), values["num_virtual_tokens"]
        if longest is not None and tokens >= longest and not longer:
            what = f"{tokens} virtual tokens fill the model's whole context ({longest} tokens): no text can follow them"
            yield Problem("peft.num_virtual_tokens", what, "start with `num_virtual_tokens: 32`")
    elif name == "adaption_prompt":
        layers, wanted = size(config, "num_layers"), values["adapter_layers"]
        if layers is not None and wanted > layers:
            what = f"the model has {layers} layers, and {wanted} of them would get a prompt"
            yield Problem("peft.adapter_layers", what, f"write {layers} or less")


def _sizes(settings: Settings, config: Mapping[str, Any]) -> Iterator[Problem]:
    """Sizes that a recipe gives, and that PEFT would take from the model."""
    values, prefix = settings.values, settings.method.name == "prefix_tuning"
    read = [key for key in _WORDS if prefix or key not in PREFIX_ONLY]
    given = {key: values[key] for key in read if values.get(key) is not None}
    own = {key: size(config, key) for key in read}
    wrong = [key for key, value in given.items() if own[key] not in (None, value)]
    if prefix and (cache := _cache(config)) is not None:
        # Where several heads share a key and a value, the cache's own two sizes are a fitting pair as well.
        pair = (given.get("token_dim"), given.get("num_attention_heads"))
        wrong = [key for key in wrong if key == "num_layers" or pair != cache]
    for key in wrong:
        what = f"the model has {own[key]} {_WORDS[key]}, not {given[key]}"
        yield Problem(f"peft.{key}", what, "remove it: PEFT takes it from the model")


def _cache(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """(numbers per token, heads) of one layer's keys, where heads share them; None otherwise."""
    text = config.get("text_config")
    config = text if isinstance(text, Mapping) else config
    shared, width = config.get("num_key_value_heads"), config.get("head_dim")
    hidden, heads = size(config, "token_dim"), size(config, "num_attention_heads")
    if type(shared) is not int or not hidden or not heads:
        return None
    return ((width if type(width) is int else hidden // heads) * shared, shared)
