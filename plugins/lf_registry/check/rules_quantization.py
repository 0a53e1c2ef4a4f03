"""Quantization, and the precision of everything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..recipes import Recipe
from .facts import adapters, error, get, is_on, method, number, quantized_already, uses_fsdp, warning, zero_stage
from .report import Finding

Values = dict[str, Any]

#: The bits that LLaMA-Factory takes for each way of quantizing while the model is loaded.
_BITS = {"bnb": (4, 8), "hqq": (1, 2, 3, 4, 5, 6, 8), "eetq": (8,)}


def quantization(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Quantizing while the model is loaded: QLoRA."""
    bits = number(values, "quantization_bit")
    if bits is None:
        for key in ("quantization_type", "quantization_method", "double_quantization"):
            if values.get(key):
                yield warning(
                    recipe,
                    "no-effect",
                    key,
                    "does nothing without `quantization_bit:`: the model is loaded in full precision",
                    "add `quantization_bit: 4`, or remove it",
                )
                break
        return
    if method(values) in ("full", "freeze"):
        yield error(
            recipe,
            "wrong-method",
            "quantization_bit",
            f"quantized weights cannot be trained themselves, which `finetuning_type: {method(values)}` would",
            "set `finetuning_type: lora`, or remove it",
        )
    how = get(values, "quantization_method")
    if how in ("gptq", "awq", "aqlm", "quanto", "mxfp4", "fp8"):
        yield error(
            recipe,
            "quantization",
            "quantization_method",
            f"LLaMA-Factory cannot quantize with {how} while loading, and without a word loads the model unquantized",
            "write `quantization_method: bnb`; for an already quantized model remove `quantization_bit:`",
        )
    elif how in _BITS and bits not in _BITS[how]:
        yield error(
            recipe,
            "quantization",
            "quantization_bit",
            f"{how} does not have {bits} bits",
            f"one of {', '.join(map(str, _BITS[how]))}",
        )
    elif (zero_stage(values) == 3 or uses_fsdp(values)) and (how != "bnb" or bits != 4):
        yield error(
            recipe,
            "quantization",
            "quantization_bit",
            f"ZeRO-3 and FSDP work only with 4 bits of bnb, not with {bits} bits of {how}",
            "set `quantization_bit: 4` and `quantization_method: bnb`, or use ZeRO-2",
        )
    yield from _refused(values, recipe)
    if quantized_already(values):
        yield warning(
            recipe,
            "no-effect",
            "quantization_bit",
            f"the model is already quantized ({quantized_already(values)}), and stays as it is",
            "remove it, or name the unquantized model",
        )


def _refused(values: Values, recipe: Recipe) -> Iterator[Finding]:
    refused = {
        "pissa_init": (
            "PiSSA needs the unquantized weights",
            "initialize it with LLaMA-Factory's scripts/pissa_init.py",
        ),
        "resize_vocab": (
            "the embedding of a quantized model cannot be resized",
            "resize and save the model in full precision first",
        ),
        "fp8": ("FP8 training and quantization exclude each other", "remove one of them"),
    }
    for key, (why, fix) in refused.items():
        if is_on(values, key):
            yield error(recipe, "quantization", key, f"not with `quantization_bit:`: {why}", fix)
    if get(values, "quantization_device_map") == "auto" and is_on(values, "do_train"):
        yield error(
            recipe,
            "quantization",
            "quantization_device_map",
            "a device map is for inference; LLaMA-Factory refuses it in training",
            "remove it",
        )
    if len(adapters(values)) > 1 or (adapters(values) and is_on(values, "create_new_adapter")):
        yield error(
            recipe,
            "quantization",
            "adapter_name_or_path",
            "a quantized model takes one adapter, and goes on training that one",
            "merge the adapters into the unquantized model first: llamafactory-cli export",
        )


def quantized_base(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """A model whose weights were quantized before: GPTQ, AWQ and so on."""
    how = quantized_already(values)
    if how is None or how in ("mxfp4", "fp8"):  # LLaMA-Factory turns these two back into bf16
        return
    if method(values) in ("full", "freeze") and is_on(values, "do_train"):
        yield error(
            recipe,
            "wrong-method",
            "model_name_or_path",
            f"the model is quantized ({how}), and its weights cannot be trained themselves",
            "set `finetuning_type: lora`, or name the unquantized model",
        )
    elif zero_stage(values) == 3 or uses_fsdp(values):
        yield error(
            recipe,
            "quantization",
            "model_name_or_path",
            f"the model is quantized ({how}), which ZeRO-3 and FSDP cannot split",
            "remove `deepspeed:` or use ZeRO-2, or name the unquantized model with `quantization_bit: 4`",
        )
    if is_on(values, "use_dora") and how != "bitsandbytes":
        yield error(
            recipe,
            "quantization",
            "use_dora",
            f"DoRA does not work on a model that is quantized ({how})",
            "remove it, or name the unquantized model with `quantization_bit: 4`",
        )


def precision(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """The precision of the computation."""
    if is_on(values, "fp16") and is_on(values, "bf16"):
        yield error(
            recipe, "incompatible", "fp16", "fp16 and bf16 exclude each other", "keep `bf16: true`, remove `fp16:`"
        )
    some = any(is_on(values, key) for key in ("bf16", "fp16", "pure_bf16", "fp8"))
    if is_on(values, "do_train") and not some and not is_on(values, "use_cpu"):
        yield warning(
            recipe,
            "precision",
            "bf16",
            "without bf16 or fp16 everything is computed in 32 bits: half as fast, with twice the activation memory",
            "add `bf16: true` (`fp16: true` on a GPU older than Ampere)",
        )


RULES = (quantization, quantized_base, precision)
