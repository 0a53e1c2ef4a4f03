"""The DeepSpeed file: readable, and in agreement with the recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..files import is_file
from ..recipes import Recipe
from .facts import adapters, deepspeed_config, error, get, is_on, number, zero_stage
from .report import Finding

Values = dict[str, Any]


def deepspeed_file(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """A JSON object with a stage that exists; that the file exists is checked with the other names."""
    value = get(values, "deepspeed")
    if not isinstance(value, (str, dict)) or not value:
        return
    path = Path(value) if isinstance(value, str) and not value.lstrip().startswith("{") else None
    if path is not None and not is_file(path):
        return
    if deepspeed_config(values) is None:
        yield error(
            recipe,
            "deepspeed",
            "deepspeed",
            f"{path or 'the text'} {_why_not(path, value)}, so that no process starts",
            "correct it, or take one of recipes/deepspeed/",
        )
        return
    zero = deepspeed_config(values).get("zero_optimization", {})  # type: ignore[union-attr]
    found = zero.get("stage", 0) if isinstance(zero, dict) else zero
    if found not in (0, 1, 2, 3) or isinstance(found, bool):
        yield error(
            recipe,
            "deepspeed",
            "deepspeed",
            f"zero_optimization.stage is {found!r}, and the stages of ZeRO are 0, 1, 2 and 3",
            "correct it, or take one of recipes/deepspeed/",
        )


def _why_not(path: Path | None, value: Any) -> str:
    try:
        json.loads(path.read_text(encoding="utf-8") if path else value)
    except json.JSONDecodeError as problem:
        return f"is not JSON (line {problem.lineno}, column {problem.colno}: {problem.msg})"
    except (OSError, ValueError):
        return "cannot be read as UTF-8"
    return "is JSON, but not an object"


#: A path in the DeepSpeed file -> the recipe's key that must have the same value, unless the file says "auto".
#: From ``HfTrainerDeepSpeedConfig.trainer_config_process`` in Transformers.
_SAME = {
    "train_micro_batch_size_per_gpu": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "max_grad_norm",
    "optimizer.params.lr": "learning_rate",
    "optimizer.params.eps": "adam_epsilon",
    "optimizer.params.weight_decay": "weight_decay",
    "scheduler.params.warmup_max_lr": "learning_rate",
}


def same_values(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Values that stand in both files and differ: Transformers stops, after the model was loaded."""
    config = deepspeed_config(values)
    if not config:
        return
    for path, key in _SAME.items():
        theirs, ours = _at(config, path), number(values, key)
        if theirs not in (None, "auto") and ours is not None and theirs != ours:
            yield error(
                recipe,
                "deepspeed-mismatch",
                "deepspeed",
                f"its {path} is {theirs}, and the recipe's {key} is {ours}; the run stops after loading the model",
                f'write "{path.split(".")[-1]}": "auto" there: then the recipe\'s value is taken',
            )
    whole, micro = _at(config, "train_batch_size"), number(values, "per_device_train_batch_size")
    accumulation = number(values, "gradient_accumulation_steps")
    if isinstance(whole, int) and micro and accumulation and whole % (micro * accumulation) != 0:
        yield error(
            recipe,
            "deepspeed-mismatch",
            "deepspeed",
            f"its train_batch_size is {whole}, which no number of GPUs makes of {micro} x {accumulation} (the recipe's "
            "per_device_train_batch_size x gradient_accumulation_steps)",
            'write "train_batch_size": "auto" there',
        )
    for kind in ("fp16", "bf16"):
        theirs, ours = _at(config, f"{kind}.enabled"), is_on(values, kind) or is_on(values, f"{kind}_full_eval")
        if isinstance(theirs, bool) and theirs != ours:
            yield error(
                recipe,
                "deepspeed-mismatch",
                "deepspeed",
                f"its {kind}.enabled is {str(theirs).lower()}, and the recipe's {kind} is {str(ours).lower()}; "
                "the run stops after loading the model",
                'write "enabled": "auto" there: then the recipe\'s value is taken',
            )


def _at(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config


def zero3(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """What a run under ZeRO-3 saves and loads."""
    if zero_stage(values) != 3:
        return
    gather = _at(deepspeed_config(values), "zero_optimization.stage3_gather_16bit_weights_on_model_save")
    whole_model = get(values, "finetuning_type") not in ("lora", "oft")  # an adapter is gathered in any case
    if is_on(values, "do_train") and whole_model and gather is not True:
        yield error(
            recipe,
            "deepspeed",
            "deepspeed",
            "without stage3_gather_16bit_weights_on_model_save, ZeRO-3 saves each GPU's part of the weights and no "
            "model that can be loaded",
            'write "stage3_gather_16bit_weights_on_model_save": true into its zero_optimization',
        )
    if len(adapters(values)) > 1:
        yield error(
            recipe,
            "incompatible",
            "adapter_name_or_path",
            "under ZeRO-3 only one adapter can be loaded",
            "merge the others first: llamafactory-cli export",
        )


RULES = (deepspeed_file, same_values, zero3)
