"""What must be there, and which methods, stages and optimizers go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..recipes import Recipe
from .facts import (
    error,
    evaluates,
    get,
    has_eval_data,
    is_on,
    method,
    number,
    stage,
    text,
    uses_fsdp,
    warning,
    zero_stage,
)
from .report import Finding
from .schema import members

Values = dict[str, Any]


def something_to_do(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """A model, a task, data to train on and a place for the result."""
    if not get(values, "model_name_or_path"):
        yield error(
            recipe,
            "missing-key",
            "model_name_or_path",
            "there is no model to train",
            "add `model_name_or_path:` with a Hub id or a folder",
        )
    if not any(is_on(values, key) for key in ("do_train", "do_predict")) and not evaluates(values):
        other = (
            "it looks like one for `llamafactory-cli export` or `chat`; if it is to train, "
            if not ({"dataset", "output_dir", "stage"} & set(values))
            else ""
        )
        yield error(
            recipe,
            "missing-key",
            "do_train",
            "the recipe neither trains nor evaluates nor predicts: the model is loaded, and the run ends",
            f"{other}add `do_train: true`",
        )
        return
    if not get(values, "output_dir"):
        yield warning(
            recipe,
            "missing-key",
            "output_dir",
            "without it everything is written to ./trainer_output, also by the next recipe without it",
            "add `output_dir:`",
        )
    if is_on(values, "do_train") and not get(values, "dataset"):
        yield error(
            recipe,
            "missing-key",
            "dataset",
            "there is nothing to train on",
            "add `dataset:`; lf-registry list datasets",
        )


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


#: Switches that LLaMA-Factory refuses with every other method.
ONLY_LORA = ("loraplus_lr_ratio", "use_rslora", "use_dora", "pissa_init")


def methods(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """What LLaMA-Factory refuses with some methods."""
    now = method(values)
    if now != "lora":
        for key in ONLY_LORA:
            if is_on(values, key):
                yield error(
                    recipe, "wrong-method", key, f"it works only with `finetuning_type: lora`, not {now}", "remove it"
                )
        if get(values, "adapter_name_or_path"):
            yield error(
                recipe,
                "wrong-method",
                "adapter_name_or_path",
                f"an adapter needs `finetuning_type: lora`, not {now}",
                "merge it first (llamafactory-cli export) and train the merged model, or set `finetuning_type: lora`",
            )
    if now == "full" and is_on(values, "use_llama_pro"):
        yield error(
            recipe,
            "wrong-method",
            "use_llama_pro",
            "it works only with `finetuning_type: freeze` or lora",
            "set `finetuning_type: freeze`",
        )
    reference = stage(values) == "dpo" and get(values, "pref_loss") not in ("orpo", "simpo")
    if is_on(values, "pissa_init") and (stage(values) in ("ppo", "kto") or reference):
        yield error(
            recipe,
            "wrong-stage",
            "pissa_init",
            "PiSSA changes the model that this stage compares with, and LLaMA-Factory refuses it",
            "remove it",
        )


def optimizers(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """GaLore, APOLLO and BAdam, which replace the optimizer."""
    on = [name for name in ("use_galore", "use_apollo", "use_badam") if is_on(values, name)]
    if len(on) > 1:
        yield error(recipe, "incompatible", on[1], f"cannot be used together with `{on[0]}:`", "keep one of them")
    if on and method(values) == "lora":
        yield error(
            recipe,
            "wrong-method",
            on[0],
            "it trains all weights, so that LLaMA-Factory refuses it with LoRA",
            "set `finetuning_type: full`, or remove it",
        )
    if get(values, "deepspeed") and set(on) & {"use_galore", "use_apollo"}:
        yield error(
            recipe, "incompatible", on[0], "GaLore and APOLLO do not work with DeepSpeed", "remove `deepspeed:`"
        )
    if (
        "use_badam" in on
        and get(values, "badam_mode") == "layer"
        and get(values, "deepspeed")
        and zero_stage(values) != 3
    ):
        yield error(
            recipe,
            "incompatible",
            "use_badam",
            "with several processes, BAdam by layers works only under ZeRO-3",
            "use `deepspeed: recipes/deepspeed/ds_z3.json`",
        )


def distribution(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """What cannot be combined with ZeRO-3 or FSDP."""
    wrong = [name for name in (text(values, "fsdp") or "").split() if name not in members("FSDPOption")]
    if wrong:
        yield error(
            recipe,
            "not-a-choice",
            "fsdp",
            f"{wrong[0]!r} is not one of its options; they are separated by spaces",
            f"some of {', '.join(members('FSDPOption'))}: for example `fsdp: full_shard auto_wrap`",
        )
    if get(values, "deepspeed") and uses_fsdp(values):
        yield error(
            recipe, "incompatible", "fsdp", "FSDP and DeepSpeed cannot be used together", "keep `deepspeed:` or `fsdp:`"
        )
    if zero_stage(values) != 3:
        return
    for key, fix in (
        ("predict_with_generate", "predict without `deepspeed:`, or with a ZeRO-2 file"),
        ("pure_bf16", "use `bf16: true` instead"),
        ("pissa_init", "initialize PiSSA with LLaMA-Factory's scripts/pissa_init.py first"),
        ("use_unsloth", "remove `use_unsloth:`, or use a ZeRO-2 file"),
        ("use_kt", "remove `deepspeed:`"),
        ("auto_find_batch_size", "remove it, or use a ZeRO-2 file"),
    ):
        if is_on(values, key):
            yield error(recipe, "incompatible", key, "cannot be used together with ZeRO-3", fix)


RULES = (something_to_do, stages, methods, optimizers, distribution)
