"""Each key of a recipe on its own: known, of the right type, one of its choices, in range."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

from ..errors import did_you_mean
from ..recipes import Recipe
from ..secret_text import HIDDEN
from .facts import error, warning
from .old_keys import REMOVED, RENAMED
from .ranges import RANGES
from .report import Finding
from .schema import PEFT_KEY, Key, comma_separated_keys, keys
from .secrets import secrets


def check_keys(recipe: Recipe) -> list[Finding]:
    """Check every key of a recipe on its own, and that the keys are there without which nothing starts.

    LLaMA-Factory fills its dataclasses without looking at types or choices, so that most of these mistakes pass its
    parser and stop the run later, or silently mean something else.
    """
    findings: list[Finding] = []
    for name, value in recipe.values.items():
        key = keys().get(str(name))
        if key is not None and key.name == PEFT_KEY:
            continue  # a rule of its own says what is wrong with it
        found = _unknown(str(name), recipe) if key is None else _known(key, value, recipe)
        findings += found
    return findings


def _unknown(name: str, recipe: Recipe) -> Iterator[Finding]:
    if name in RENAMED:
        fix = f"write `{RENAMED[name]}`" if ":" in RENAMED[name] else f"rename it to `{RENAMED[name]}`"
        yield error(recipe, "old-key", name, f"LLaMA-Factory does not take this key. Its own is {RENAMED[name]}", fix)
    elif name in REMOVED:
        yield error(
            recipe, "old-key", name, f"LLaMA-Factory does not take this key any more: {REMOVED[name]}", "remove it"
        )
    elif os.environ.get("ALLOW_EXTRA_ARGS", "0").lower() in ("true", "y", "1"):
        yield warning(
            recipe,
            "unknown-key",
            name,
            f"LLaMA-Factory has no such key, and ALLOW_EXTRA_ARGS makes it ignore it; {_nearest(name)}",
            "correct or remove it",
        )
    else:
        yield error(
            recipe,
            "unknown-key",
            name,
            f"LLaMA-Factory has no such key, and stops; {_nearest(name)}",
            "correct or remove it",
        )


def _nearest(name: str) -> str:
    return did_you_mean(name, keys(), kind="keys", most=5)


def _known(key: Key, value: Any, recipe: Recipe) -> Iterator[Finding]:
    if value is None:
        if not key.optional:
            yield error(
                recipe,
                "empty-key",
                key.name,
                "stands there without a value, which is not the default but nothing at all",
                f"give it a value, or remove the line for the default ({key.default})",
            )
    elif isinstance(value, str) and "${" in value and key.name not in ("default_system",):
        yield error(
            recipe,
            "interpolation",
            key.name,
            "LLaMA-Factory does not resolve ${...} in a recipe and takes it as it stands",
            f"write the value, or pass it on the command line: {key.name}=VALUE",
        )
    elif key.choices and value not in key.choices:
        yield _not_a_choice(key, value, recipe)
    elif (wrong := wrong_type(key, value)) is not None:
        yield error(recipe, "wrong-type", key.name, wrong[0], wrong[1])
    elif key.name in RANGES and isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high, say = RANGES[key.name]
        if not (low <= value <= high and value != math.inf) and not (key.name == "max_steps" and value == -1):
            yield error(recipe, "out-of-range", key.name, f"is {value}, which means nothing here", f"it must be {say}")


def _not_a_choice(key: Key, value: Any, recipe: Recipe) -> Finding:
    if value is False and "no" in key.choices:
        return error(
            recipe,
            "not-a-choice",
            key.name,
            "YAML reads an unquoted no as false, which LLaMA-Factory refuses",
            f'write `{key.name}: "no"`',
        )
    known = did_you_mean(str(value), map(str, key.choices), kind="choices", most=14)
    if key.name == "quantization_method" and str(value).lower() in ("bitsandbytes", "bits_and_bytes"):
        return error(
            recipe,
            "not-a-choice",
            key.name,
            f"{value!r} was its name in older versions. This one knows only bnb, and without a word does not quantize",
            "write `quantization_method: bnb`",
        )
    return error(recipe, "not-a-choice", key.name, f"{value!r} is not one of its values", known)


def wrong_type(key: Key, value: Any) -> tuple[str, str] | None:
    """What is wrong with the type and how to write it, or None. The texts never hold a secret."""
    kind = type(value).__name__
    allowed = set(key.type)
    if not allowed & _PLAIN or kind in allowed:
        return None
    if kind == "int" and ("float" in allowed or ("bool" in allowed and value in (0, 1))):
        return None
    if kind == "list" and key.name in comma_separated_keys():
        return None
    if kind == "float" and key.name in _FLOAT_IS_FINE:
        return None
    if kind == "bool" and key.name in ("resume_from_checkpoint", "fsdp"):
        return None
    shown = HIDDEN if secrets({key.name: value}) else repr(value)
    if "bool" in allowed and kind == "str":
        return f"{shown} is a text, and any text counts as true", f"write `{key.name}: true` or `{key.name}: false`"
    if kind == "str" and allowed & {"int", "float"}:
        wanted = "a whole number" if "int" in allowed else "a number"
        return f"{shown} is a text; LLaMA-Factory does not make {wanted} of it and stops later", _as_number(
            value, wanted
        )
    if kind == "float" and "int" in allowed:
        whole = f"`{key.name}: {int(value)}`" if math.isfinite(value) and value == int(value) else "a whole number"
        return f"{shown} has a decimal point or an exponent, and a whole number is needed", f"write {whole}"
    if kind == "list" and "str" in allowed:
        return "is a list, and LLaMA-Factory takes one text here", f"write `{key.name}: a,b`"
    wanted = " or ".join(sorted(_WORDS[name] for name in allowed & _PLAIN))
    fix = f"write `{key.name}: '{value}'`" if "str" in allowed and kind in ("int", "float") else f"give it {wanted}"
    return f"{shown} is {_WORDS.get(kind, kind)}, and {wanted} is needed", fix


def _as_number(text: str, wanted: str) -> str:
    try:
        float(text)
    except ValueError:
        return f"write {wanted}" + (", with a point and not a comma: 1.5" if wanted == "a number" else ": 8")
    return "write it unquoted"


_PLAIN = {"int", "float", "bool", "str", "list", "dict"}
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "list": "a list",
    "dict": "a mapping",
}
#: Whole numbers that are only multiplied or compared, so that 32.0 does as well.
_FLOAT_IS_FINE = {"ddp_timeout", "lora_alpha", "image_max_pixels", "image_min_pixels", "video_max_pixels"}
_FLOAT_IS_FINE |= {"video_min_pixels", "audio_sampling_rate", "export_size"}
