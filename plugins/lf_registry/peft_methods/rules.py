"""What a ``peft:`` key does not go together with in a recipe; asked by the check and, before it trains, by the hook."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..check.facts import model_config
from .fit import misfits
from .refused import LONGER_LOGITS, NOT_UNDER_DEEPSPEED, NOT_UNDER_ZERO3, OWN_TARGETS
from .settings import Problem, Settings

Lookup = Callable[[str], Any]

#: Switches of LLaMA-Factory's ``LoraConfig``, which is not built when ``peft:`` names a method.
_LORA_SWITCHES = ("loraplus_lr_ratio", "pissa_init", "use_dora", "use_rslora")
#: Ways of training that build their own adapter and would train LoRA instead, without a word.
_OWN_ADAPTERS = {"use_unsloth": "Unsloth", "use_kt": "KTransformers"}
#: Losses and metrics that LLaMA-Factory or Transformers computes outside the model, from logits and labels.
_OUTSIDE = ("compute_accuracy", "label_smoothing_factor", "use_asft_loss", "use_dft_loss", "use_eaft_loss")


def has_encoder(settings: Settings) -> bool:
    """Whether a network makes the prompt in training, of which PEFT saves only the result."""
    name = settings.method.name
    return name == "p_tuning" or (name == "prefix_tuning" and bool(settings.values.get("prefix_projection")))


def unused_keys(settings: Settings, recipe: Mapping[str, Any]) -> list[str]:
    """The recipe's keys that LLaMA-Factory reads for LoRA and this method does not read."""
    unused = ["lora_rank", "lora_alpha", "lora_dropout"]
    for key, name in (("lora_target", "target_modules"), ("additional_target", "modules_to_save")):
        own = settings.method.prompt or (settings.method.name in OWN_TARGETS and key == "lora_target")
        if own or name not in settings.method.fields or settings.values.get(name) is not None:
            unused.append(key)
    return [key for key in unused if recipe.get(key) is not None]


def conflicts(settings: Settings, get: Lookup, zero_stage: int) -> Iterator[Problem]:
    """What LLaMA-Factory, PEFT or DeepSpeed cannot do with this method.

    Args:
        settings: the ``peft:`` key.
        get: the value of any other key, LLaMA-Factory's default where the recipe does not have it.
        zero_stage: of the DeepSpeed file; 0 without DeepSpeed.
    """
    name = settings.method.name
    if get("finetuning_type") != "lora":
        what = f"`peft:` takes the place of LoRA, so that {get('finetuning_type')} and {name} exclude each other"
        yield Problem("finetuning_type", what, "set `finetuning_type: lora`, or remove `peft:`")
    for key, program in _OWN_ADAPTERS.items():
        if get(key):
            yield Problem(key, f"{program} builds a LoRA adapter of its own and would ignore `peft:`", "remove it")
    for key in _LORA_SWITCHES:
        if get(key):
            field = settings.method.fields.get(key)
            fix = f"write `{key}: true` into `peft:`" if field and "bool" in field.type else "remove it"
            yield Problem(key, f"it belongs to LLaMA-Factory's LoRA; {name} would ignore it", fix)
    if settings.method.prompt:
        yield from _prompt(settings, get)
    if get("quantization_bit") and not settings.method.on_quantized:
        what = f"PEFT has no {name} for quantized weights"
        yield Problem("quantization_bit", what, "remove it, or use lora, ia3, vera or prefix_tuning")
    if get("do_train"):
        config = model_config({"model_name_or_path": get("model_name_or_path")})
        yield from misfits(settings, config, longer=bool(get("rope_scaling")))
        yield from _training(settings, get, zero_stage)


def _prompt(settings: Settings, get: Lookup) -> Iterator[Problem]:
    """Methods that learn virtual tokens."""
    name = settings.method.name
    if name == "prefix_tuning" and get("do_train") and not get("disable_gradient_checkpointing"):
        yield Problem(
            "disable_gradient_checkpointing",
            "a prefix stands in the key/value cache, which gradient checkpointing switches off: PEFT refuses it",
            "write `disable_gradient_checkpointing: true`",
        )
    packs = get("packing") if get("packing") is not None else get("stage") == "pt"
    for key in ("packing", "neat_packing"):
        if packs if key == "packing" else get("neat_packing"):
            what = (
                f"{name} puts its virtual tokens in front of a sequence; the 2nd example of a pack has other text there"
            )
            yield Problem(key, what, f"write `{key}: false`")
    yield from prediction(name, get)
    if get("stage") not in ("pt", "sft"):
        yield Problem(
            "stage", f"{name} is trained with `pt` and `sft` only, not with {get('stage')}", "use `stage: sft`"
        )
    if get("use_llama_pro"):
        yield Problem("use_llama_pro", f"it chooses layers, and {name} has none", "remove it")
    if get("fsdp"):
        what = f"saving {name} runs its prompt on one process alone, which FSDP cannot"
        yield Problem("fsdp", what, "use `deepspeed: recipes/deepspeed/ds_z2.json`")
    for key in _OUTSIDE if name in LONGER_LOGITS else ():
        if get(key):
            more = settings.values["num_virtual_tokens"]
            what = f"it compares logits with labels, and with {name} there are {more} logits more than labels"
            yield Problem(key, what, "remove it, or use prefix_tuning")


def prediction(name: str, get: Lookup) -> Iterator[Problem]:
    """What a batch of questions does to a prompt.

    Shorter questions are padded on the left, between the virtual tokens and the text, and PEFT drops the position ids
    that would take the padding out of the count: such a row sees its prompt from farther away than in training, and is
    answered worse without a word.
    """
    if not get("predict_with_generate"):
        return
    if get("do_train"):
        what = f"while it trains, LLaMA-Factory pads every question, which moves the virtual tokens of {name} away"
        yield Problem("predict_with_generate", what, "predict in a run of its own, with `adapter_name_or_path:`")
    elif get("per_device_eval_batch_size") != 1:
        what = f"questions that are answered together are padded, which moves the virtual tokens of {name} away"
        yield Problem("per_device_eval_batch_size", what, "write `per_device_eval_batch_size: 1`")


def _training(settings: Settings, get: Lookup, zero_stage: int) -> Iterator[Problem]:
    name = settings.method.name
    if get("deepspeed") and name in NOT_UNDER_DEEPSPEED:
        what = f"{name} does not train under DeepSpeed: {NOT_UNDER_DEEPSPEED[name]}"
        yield Problem("deepspeed", what, "remove `deepspeed:`; several GPUs work without it")
    elif zero_stage == 3 and name in NOT_UNDER_ZERO3:
        what = f"{name} does not train under ZeRO-3: {NOT_UNDER_ZERO3[name]}"
        yield Problem("deepspeed", what, "use recipes/deepspeed/ds_z2.json, or remove `deepspeed:`")
    if name == "adalora" and get("resume_from_checkpoint"):
        what = "a checkpoint of AdaLoRA does not hold the scores that its ranks follow, so that it would go on wrongly"
        yield Problem("resume_from_checkpoint", what, "remove it, and name an output_dir without checkpoints")
    if get("adapter_name_or_path") and not get("create_new_adapter") and has_encoder(settings):
        what = f"an adapter of {name} holds the finished prompt, and not the network that is trained to make it"
        yield Problem(
            "adapter_name_or_path", what, "write `resume_from_checkpoint:` with a checkpoint of that training"
        )
