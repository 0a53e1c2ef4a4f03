"""Which keys LLaMA-Factory takes in which stage of training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..recipes import Recipe
from .facts import error, evaluates, get, has_eval_data, is_on, method, number, stage
from .report import Finding

Values = dict[str, Any]


def stages(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """What LLaMA-Factory refuses in some stages."""
    now = stage(values)
    if now != "sft":
        for key in ("predict_with_generate", "neat_packing", "train_on_prompt", "mask_history"):
            if is_on(values, key):
                yield error(
                    recipe,
                    "wrong-stage",
                    key,
                    f"LLaMA-Factory takes it only with `stage: sft`, not with {now}",
                    f"remove `{key}:`",
                )
    elif is_on(values, "do_predict") and not is_on(values, "predict_with_generate"):
        yield error(
            recipe,
            "missing-key",
            "predict_with_generate",
            "`do_predict: true` writes predictions, for which LLaMA-Factory wants this key too",
            "add `predict_with_generate: true`",
        )
    if now in ("rm", "ppo") and is_on(values, "load_best_model_at_end"):
        yield error(
            recipe,
            "wrong-stage",
            "load_best_model_at_end",
            f"LLaMA-Factory does not take it with `stage: {now}`",
            "remove it",
        )
    if now == "ppo":
        yield from _ppo(values, recipe)
    smoothing = number(values, "dpo_label_smoothing") or 0
    if now == "dpo" and get(values, "pref_loss") != "sigmoid" and smoothing > 1e-6:
        yield error(
            recipe,
            "wrong-stage",
            "dpo_label_smoothing",
            "LLaMA-Factory takes it only with `pref_loss: sigmoid`",
            "remove it, or set `pref_loss: sigmoid`",
        )


def _ppo(values: Values, recipe: Recipe) -> Iterator[Finding]:
    if not get(values, "reward_model"):
        yield error(
            recipe,
            "missing-key",
            "reward_model",
            "`stage: ppo` needs a reward model",
            "train one with `stage: rm`, then add `reward_model:` with its output folder",
        )
    elif get(values, "reward_model_type") == "lora" and method(values) != "lora":
        yield error(
            recipe,
            "wrong-method",
            "reward_model_type",
            f"a LoRA reward model needs `finetuning_type: lora`, not {method(values)}",
            "use a merged reward model and `reward_model_type: full`",
        )
    if has_eval_data(values) or evaluates(values):
        yield error(
            recipe,
            "wrong-stage",
            "eval_dataset",
            "`stage: ppo` cannot evaluate and stops when there is evaluation data",
            "remove eval_dataset, val_size, do_eval and eval_strategy",
        )


RULES = (stages,)
