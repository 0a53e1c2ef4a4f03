"""What the rules ask a recipe: its values with LLaMA-Factory's defaults, whatever their types are."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from ..recipes import Recipe
from .report import Finding
from .schema import keys
from .source import COMPUTED


def error(recipe: Recipe, code: str, key: str, message: str, fix: str) -> Finding:
    """A finding about a recipe's key that stops the run, or makes it another one."""
    return Finding("error", code, _where(recipe, key), message, fix)


def warning(recipe: Recipe, code: str, key: str, message: str, fix: str) -> Finding:
    """A finding about a recipe's key that is known to hurt."""
    return Finding("warning", code, _where(recipe, key), message, fix)


def _where(recipe: Recipe, key: str) -> str:
    return f"{recipe.path}: {key}" if key else str(recipe.path)


def get(values: dict[str, Any], key: str) -> Any:
    """The value of a known key, or its default (None when that is computed)."""
    if key in values:
        return values[key]
    default = keys()[key].default
    return None if default is COMPUTED else default


def is_on(values: dict[str, Any], key: str) -> bool:
    """Whether a switch is on; a text counts as on, as it does in LLaMA-Factory."""
    return bool(get(values, key))


def number(values: dict[str, Any], key: str) -> float | int | None:
    """The value of a key if it is a finite number, else None (anything else has its own finding)."""
    value = get(values, key)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(values: dict[str, Any], key: str) -> str | None:
    """The value of a key if it is a text that is not empty, else None."""
    value = get(values, key)
    return value if isinstance(value, str) and value else None


def stage(values: dict[str, Any]) -> str:
    """``pt``, ``sft``, ``rm``, ``ppo``, ``dpo`` or ``kto`` (or what stands there instead)."""
    return str(get(values, "stage"))


def method(values: dict[str, Any]) -> str:
    """``lora``, ``oft``, ``freeze`` or ``full`` (or what stands there instead)."""
    return str(get(values, "finetuning_type"))


def evaluates(values: dict[str, Any]) -> bool:
    """Whether the run evaluates: ``do_eval``, or an ``eval_strategy`` that is not ``no``, which switches it on."""
    return is_on(values, "do_eval") or get(values, "eval_strategy") in ("steps", "epoch")


def has_eval_data(values: dict[str, Any]) -> bool:
    """Whether there is anything to evaluate on. Tokenized data may hold an evaluation split of its own."""
    return bool(get(values, "eval_dataset")) or (number(values, "val_size") or 0) > 1e-6


def adapters(values: dict[str, Any]) -> list[str]:
    """``adapter_name_or_path``, split at its commas."""
    return [name.strip() for name in (text(values, "adapter_name_or_path") or "").split(",") if name.strip()]


def deepspeed_config(values: dict[str, Any]) -> dict[str, Any] | None:
    """The DeepSpeed configuration: a mapping in the recipe, JSON text, or a JSON file; None when it cannot be read."""
    value = get(values, "deepspeed")
    try:
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = json.loads(value)
        elif isinstance(value, str):
            value = json.loads(Path(value).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def zero_stage(values: dict[str, Any]) -> int:
    """The stage of ZeRO; 0 without DeepSpeed."""
    zero = (deepspeed_config(values) or {}).get("zero_optimization")
    found = zero.get("stage") if isinstance(zero, dict) else None
    return found if isinstance(found, int) else 0


def uses_fsdp(values: dict[str, Any]) -> bool:
    """Whether the recipe asks for FSDP."""
    return bool(get(values, "fsdp"))


def model_config(values: dict[str, Any]) -> dict[str, Any]:
    """``config.json`` of a model that is a local folder; empty for a model on the Hub."""
    folder = text(values, "model_name_or_path")
    try:
        found = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")) if folder else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


_QUANTIZED_NAME = re.compile(r"(?i)[-_](gptq|awq|aqlm)(?![a-z])")


def quantized_already(values: dict[str, Any]) -> str | None:
    """How the model's weights were quantized before (``gptq``, ``awq``, ...), from its configuration or its name."""
    config = model_config(values).get("quantization_config")
    if isinstance(config, dict):
        return str(config.get("quant_method") or "unknown")
    found = _QUANTIZED_NAME.search(text(values, "model_name_or_path") or "")
    return found.group(1).lower() if found else None
