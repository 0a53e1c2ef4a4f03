"""Which keys LLaMA-Factory takes with which method, and with the optimizers that replace its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..peft_methods.fit import PREFIX_ONLY, size
from ..peft_methods.rules import conflicts, unused_keys
from ..peft_methods.settings import Settings, read_settings
from ..peft_methods.settings import problems as mistakes
from ..recipes import Recipe
from .facts import error, get, is_on, method, model_config, number, quantized_already, stage, warning, zero_stage
from .report import Finding
from .schema import PEFT_KEY, keys

Values = dict[str, Any]


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
    for name in ("galore", "apollo"):
        layerwise = f"{name}_layerwise"
        if (
            f"use_{name}" in on
            and is_on(values, layerwise)
            and (number(values, "gradient_accumulation_steps") or 1) > 1
        ):
            yield error(
                recipe,
                "incompatible",
                layerwise,
                "it updates each layer at once, so that gradients cannot be accumulated; LLaMA-Factory stops after it "
                "has loaded the model",
                "set `gradient_accumulation_steps: 1`",
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


def peft(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """The ``peft:`` key: a method that exists, its parameters, and what it does not go together with."""
    value = get(values, PEFT_KEY)
    if value is None:
        return
    found = mistakes(value)
    if not found:
        settings = read_settings(value)
        found = [*conflicts(settings, lambda key: get(values, key) if key in keys() else None, zero_stage(values))]
        if not values.get("quantization_bit") and quantized_already(values) and not settings.method.on_quantized:
            what = (
                f"the model is quantized ({quantized_already(values)}), and PEFT has no {settings.method.name} for that"
            )
            yield error(recipe, "peft", "model_name_or_path", what, "name the unquantized model")
        for key in unused_keys(settings, values):
            what = f"`peft:` with {settings.method.name} does not read it"
            yield warning(recipe, "no-effect", key, what, "remove it, or write PEFT's own parameter into `peft:`")
        if settings.method.prompt:
            yield from _virtual_tokens(settings, values, recipe)
    for problem in found:
        yield error(recipe, "peft", problem.key, problem.message, problem.fix)


def _virtual_tokens(settings: Settings, values: Values, recipe: Recipe) -> Iterator[Finding]:
    """How many there are beside the text, which LLaMA-Factory cuts without counting them."""
    name, tokens, longest = settings.method.name, settings.values["num_virtual_tokens"], number(values, "cutoff_len")
    context = None if get(values, "rope_scaling") else size(model_config(values), "context")
    if name != "prefix_tuning":
        for key in PREFIX_ONLY:
            if settings.values.get(key) is not None:
                what = f"{name} is put in front of the first layer and does not read it"
                yield warning(recipe, "no-effect", f"peft.{key}", what, "remove it")
    if longest is None or longest < 1 or (context is not None and tokens >= context):
        return
    if tokens >= longest:
        what = f"{tokens} virtual tokens stand before at most {longest} tokens of text: every row is mostly prompt"
        yield warning(recipe, "virtual-tokens", "peft.num_virtual_tokens", what, "start with `num_virtual_tokens: 32`")
    if context is not None and "cutoff_len" in values and longest <= context < longest + tokens:
        what = (
            f"{tokens} virtual tokens and {longest} tokens of text are more than the {context} tokens that the model "
        )
        what += "was made for (max_position_embeddings)"
        yield warning(recipe, "cutoff", "cutoff_len", what, f"set `cutoff_len: {context - tokens}`")


RULES = (methods, optimizers, peft)
