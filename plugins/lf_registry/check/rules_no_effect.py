"""Keys that do nothing: they belong to another method, or their switch is off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..recipes import Recipe
from .facts import is_on, method, stage, text, warning
from .report import Finding
from .rules_method import ONLY_LORA
from .schema import keys

Values = dict[str, Any]

#: Dataclass of the keys -> the methods with which they do something.
_METHOD_GROUPS = {"LoraArguments": ("lora",), "OFTArguments": ("oft",), "FreezeArguments": ("freeze",)}
#: Keys that another method uses as well: OFT takes its modules from ``lora_target``, LLaMA Pro its layers from here.
_ALSO = {
    "additional_target": ("lora", "oft"),
    "create_new_adapter": ("lora", "oft"),
    "lora_target": ("lora", "oft"),
    "freeze_trainable_layers": ("lora", "freeze"),
}
#: Keys of a group that do nothing until its switch is on.
_SWITCHES = {
    "GaloreArguments": "use_galore",
    "ApolloArguments": "use_apollo",
    "BAdamArgument": "use_badam",
    "SwanLabArguments": "use_swanlab",
}


def no_effect(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Keys that this method does not read."""
    for name, value in values.items():
        key = keys().get(str(name))
        if key is None or value is None or value is False:
            continue
        used_by = _ALSO.get(key.name) or _METHOD_GROUPS.get(key.group)
        if (
            used_by
            and method(values) in keys()["finetuning_type"].choices
            and method(values) not in used_by
            and key.name not in ONLY_LORA
        ):
            yield warning(
                recipe,
                "no-effect",
                key.name,
                f"`finetuning_type: {method(values)}` does not read it; it belongs to {' and '.join(used_by)}",
                f"remove it, or set `finetuning_type: {used_by[0]}`",
            )
        switch = _SWITCHES.get(key.group)
        if switch and key.name != switch and not is_on(values, switch):
            yield warning(
                recipe,
                "no-effect",
                key.name,
                f"does nothing without `{switch}: true`",
                f"add `{switch}: true`, or remove it",
            )
    for key_name, of, what in (
        ("pref_loss", ("dpo",), "the loss of DPO"),
        ("reward_model", ("ppo",), "for PPO"),
        ("ref_model", ("dpo", "kto", "ppo", "sft"), "for preference training"),
    ):
        if text(values, key_name) and key_name in values and stage(values) not in of:
            yield warning(
                recipe,
                "no-effect",
                key_name,
                f"is {what}; `stage: {stage(values)}` does not read it",
                f"remove it, or set `stage: {of[0]}`",
            )


RULES = (no_effect,)
