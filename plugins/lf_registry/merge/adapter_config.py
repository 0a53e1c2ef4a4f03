"""``adapter_config.json``: what of it can be merged, and what is refused by the name of its key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import is_file
from .checkpoint import read_json

FILE = "adapter_config.json"
#: The PEFT versions whose layout of ``target_parameters`` is known: 0.17 and 0.18. Later ones changed its orientation.
_EXPERTS_UNTIL = (0, 19)
_DEFAULTS: dict[str, Any] = {
    "r": 8,
    "lora_alpha": 8,
    "rank_pattern": {},
    "alpha_pattern": {},
    "use_rslora": False,
    "use_dora": False,
    "bias": "none",
}
#: Key -> why an adapter that sets it cannot be merged.
_REFUSED = {
    "alora_invocation_tokens": "an activated LoRA works only behind its invocation tokens; there is no merged model",
    "arrow_config": "Arrow chooses between adapters token by token; there is no merged model",
    "use_qalora": "QALoRA pools its input, which no weight of the base can repeat",
    "layer_replication": "the base's layers were repeated; make that model first, then train on it",
    "megatron_config": "the layers were Megatron's, with weights spread over ranks",
}
#: The other keys of PEFT 0.18's ``LoraConfig`` (its test reads them from PEFT): they are merged, or say nothing about
#: the weights. A key that is not known here may change them.
_KNOWN = {
    *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision"),
    *("task_type", "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules", "fan_in_fan_out"),
    *("init_lora_weights", "layers_pattern", "layers_to_transform", "loftq_config", "lora_bias", "lora_dropout"),
    *("megatron_core", "modules_to_save", "qalora_group_size", "runtime_config", "target_modules"),
    *("target_parameters", "trainable_token_indices"),
}
_OTHER_KINDS = {
    "PREFIX_TUNING": "it has key and value states, no weights of the model",
    "PROMPT_TUNING": "it has embeddings of a prompt, no weights of the model",
    "P_TUNING": "it has embeddings of a prompt, no weights of the model",
    "ADAPTION_PROMPT": "it has embeddings of a prompt, no weights of the model",
}
#: ``init_lora_weights`` that change the base before the training: A and B then fit another base than the one on disk.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


def read_config(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read the config with PEFT's defaults filled in.

    Returns:
        The config, and notes for the user.

    Raises:
        UserError: names every key that cannot be merged.
    """
    path = folder / FILE
    if not is_file(path) and not path.is_symlink():
        whole = is_file(folder / "config.json")
        raise UserError(
            f"{folder}: has no {FILE}" + (": it is a whole model, there is nothing to merge" if whole else ""),
            hint="name the training's output_dir or one of its checkpoint-N folders",
        )
    config = read_json(path)
    problems = [f"{path}: {problem}" for problem in _problems(config)]
    if problems:
        as_it_is = f"use it as it is: llamafactory-cli chat, or PeftModel.from_pretrained(base, {str(folder)!r})"
        raise UserError(problems, hint=as_it_is if str(config.get("peft_type")) in _OTHER_KINDS else None)
    merged = {**config, **{key: config.get(key) or default for key, default in _DEFAULTS.items()}}
    return merged, _notes(path, config)


def _problems(config: dict[str, Any]) -> list[str]:
    kind = config.get("peft_type")
    if kind != "LORA":
        why = _OTHER_KINDS.get(str(kind), "only LoRA adapters (with DoRA and rsLoRA) are merged")
        return [f"peft_type: {kind} cannot be merged: {why}"]
    problems = [f"{key}: {why}" for key, why in _REFUSED.items() if config.get(key)]
    problems += [
        f"{key}: PEFT 0.18 does not know this key, so what it does to the weights is not known here; merge with "
        "the PEFT that saved it, or remove the key if it only describes the training"
        for key, value in config.items()
        if value and key not in _KNOWN and key not in _DEFAULTS and key not in _REFUSED
    ]
    init = config.get("init_lora_weights")
    if isinstance(init, str) and init.lower().startswith(_CHANGES_BASE):
        problems.append(
            f"init_lora_weights: {init!r} changed the base before the training, so A and B do not fit the one on disk; "
            "convert the adapter first (LLaMA-Factory: pissa_convert: true; PEFT: "
            "path_initial_model_for_weight_conversion)"
        )
    for key in ("rank_pattern", "alpha_pattern"):
        problems += _problems_of_patterns(key, config.get(key) or {})
    targets = config.get("target_modules")
    if isinstance(targets, str) and not _is_pattern(targets):
        problems.append(f"target_modules: {targets!r} is no regular expression")
    elif targets is not None and not isinstance(targets, str | list):
        problems.append(f"target_modules: must be a list or a pattern, is {targets!r}")
    for key in ("r", "lora_alpha"):
        value = config.get(key, _DEFAULTS[key])
        if not _is_number(value):
            problems.append(f"{key}: must be a number above 0, is {value!r}")
    version = re.match(r"(\d+)\.(\d+)", str(config.get("peft_version", "")))
    if config.get("target_parameters") and version and (int(version[1]), int(version[2])) >= _EXPERTS_UNTIL:
        problems.append(
            f"target_parameters: saved by PEFT {config['peft_version']}, which lays A and B out in another way than "
            "0.17 and 0.18; merge it with that PEFT"
        )
    if config.get("bias", "none") not in ("none", "all", "lora_only", None):
        problems.append(f"bias: {config['bias']!r} is not one of none, all, lora_only")
    return problems


def _problems_of_patterns(key: str, patterns: Any) -> list[str]:
    if not isinstance(patterns, dict):
        return [f"{key}: must be an object of pattern -> number"]
    wrong = [pattern for pattern, value in patterns.items() if not _is_pattern(pattern) or not _is_number(value)]
    return [f"{key}: {pattern!r}: {patterns[pattern]!r} is no pattern with a number above 0" for pattern in wrong]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def _notes(path: Path, config: dict[str, Any]) -> tuple[str, ...]:
    if config.get("bias") != "lora_only":
        return ()
    return (
        f"{path}: bias: lora_only: PEFT does not save the biases that it trained, so they are lost; the merged "
        "model has the base's, as PEFT itself gives it",
    )


def pattern_value(patterns: dict[str, Any], key: str, default: Any) -> Any:
    """The value of the first pattern that matches the end of ``key``. Source: PEFT 0.18, ``get_pattern_key``."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", key):
            return value
    return default
