"""The ``peft:`` key of a recipe: a method of PEFT, and its parameters under PEFT's names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..check.keys import wrong_type
from ..errors import UserError, did_you_mean
from .refused import NOT_HERE
from .schema import Method, methods

#: What an example in a message looks like.
EXAMPLE = "peft: {method: prefix_tuning, num_virtual_tokens: 32}"


@dataclass(frozen=True)
class Settings:
    """A ``peft:`` key that has no mistake.

    Attributes:
        method: what PEFT knows about the method.
        values: the parameters that the recipe gives, by PEFT's names.
    """

    method: Method
    values: dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """One mistake: the key (``peft.num_virtual_tokens``), what is wrong, and what to write instead."""

    key: str
    message: str
    fix: str


def read_settings(value: Any) -> Settings:
    """Read the key's value, a mapping or (on the command line) a mapping as JSON.

    Raises:
        UserError: lists every mistake.
    """
    value = _from_json(value)
    found = problems(value)
    if found:
        raise UserError([f"{problem.key}: {problem.message}; {problem.fix}" for problem in found])
    return Settings(methods()[_name(value)], {key: item for key, item in value.items() if key != "method"})


def _from_json(value: Any) -> Any:
    """A text as JSON; a text that is none is left for ``problems`` to say so."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _name(value: dict[str, Any]) -> str:
    """PEFT writes its names in capitals into an adapter (``PREFIX_TUNING``), and registers them in small letters."""
    name = value.get("method")
    return name.lower() if isinstance(name, str) else ""


def method_of(value: Any) -> str | None:
    """The method that the key's value names, right or wrong in the rest; None when PEFT does not have it."""
    value = _from_json(value)
    name = _name(value) if isinstance(value, dict) else None
    return name if name in methods() else None


def learns_prompt(value: Any) -> bool:
    """Whether the key's value, right or wrong in the rest, names a method that learns virtual tokens."""
    name = method_of(value)
    return name is not None and methods()[name].prompt


def problems(value: Any) -> list[Problem]:
    """Everything that is wrong with the key on its own, without the rest of the recipe."""
    value = _from_json(value)
    if not isinstance(value, dict):
        return [Problem("peft", f"must be a mapping with a method, is {value!r}", f"write for example `{EXAMPLE}`")]
    known = methods()
    name = _name(value)
    if name not in known:
        usable = set(known) - set(NOT_HERE)
        if "method" not in value:
            message = f"the method is missing; {did_you_mean('', usable, kind='methods', most=40)}"
        else:
            message = f"PEFT has no method {value['method']!r}; "
            message += did_you_mean(str(value["method"]), usable, kind="methods", most=40)
        return [Problem("peft.method", message, f"write for example `{EXAMPLE}`")]
    if name in NOT_HERE:
        return [Problem("peft.method", f"{name} cannot be trained through a recipe: {NOT_HERE[name]}", "use another")]
    method = known[name]
    found = []
    for key, item in value.items():
        if key != "method":
            found += _one(method, str(key), item)
    if method.prompt and value.get("num_virtual_tokens") is None:
        found.append(
            Problem("peft.num_virtual_tokens", f"{name} needs to know how many", "add `num_virtual_tokens: 32`")
        )
    if name == "prompt_tuning" and str(value.get("prompt_tuning_init", "")).upper() == "TEXT":
        text = value.get("prompt_tuning_init_text")
        if not isinstance(text, str) or not text.strip():
            what = "`prompt_tuning_init: TEXT` starts from the embeddings of a text, and there is none"
            found.append(Problem("peft.prompt_tuning_init_text", what, "add `prompt_tuning_init_text: ...`"))
    return found + _together(method, value)


def _together(method: Method, value: dict[str, Any]) -> list[Problem]:
    """Parameters that are right one by one, and on which PEFT fails in the middle of a training, or reads another."""
    found = []
    if method.prompt and value.get("num_transformer_submodules") not in (None, 1):
        what = "a causal language model is one transformer; with more, PEFT fails at the first step"
        found.append(Problem("peft.num_transformer_submodules", what, "remove it"))
    if method.name == "adaption_prompt":
        for key, example in (("adapter_len", 10), ("adapter_layers", 8)):
            if value.get(key) is None:
                what = "adaption_prompt needs it, and PEFT has no number of its own"
                found.append(Problem(f"peft.{key}", what, f"add `{key}: {example}`"))
    if method.name == "adalora":
        first, last = (
            method.fields[key].default if value.get(key) is None else value[key] for key in ("init_r", "target_r")
        )
        if type(first) is int and type(last) is int and last >= first >= 1:
            what = f"AdaLoRA takes ranks away, from init_r ({first}) down to target_r ({last}); there are none to take "
            what += "away, and PEFT fails when it begins to"
            found.append(
                Problem("peft.init_r", what, f"write `init_r: {last * 3 // 2 + last % 2}`, or a smaller target_r")
            )
        if value.get("r") is not None:
            what = "AdaLoRA has two ranks, init_r and target_r, and does not read this one"
            found.append(Problem("peft.r", what, "write `target_r:`, and a larger `init_r:`"))
    return found


_AT_LEAST_ONE = frozenset(
    {"encoder_hidden_size", "encoder_num_layers", "init_r", "num_virtual_tokens", "r", "target_r", "total_step"}
) | {"adapter_layers", "adapter_len", "deltaT", "num_attention_heads", "num_layers", "token_dim"}
#: Parameters that decide how many numbers are trained: a checkpoint fits only the same ones.
SHAPES = frozenset(
    {"block_size", "encoder_hidden_size", "encoder_num_layers", "init_r", "num_vectors", "num_virtual_tokens"}
) | {"prefix_projection", "r", "vector_length"}


def _one(method: Method, name: str, value: Any) -> list[Problem]:
    key = method.fields.get(name)
    if key is None:
        known = did_you_mean(name, method.fields, kind="parameters", most=12)
        return [Problem(f"peft.{name}", f"{method.config} of PEFT has no such parameter", known)]
    if value is None:
        return []
    if key.choices and not ({"dict", "bool"} & key.type):
        if str(value) not in map(str, key.choices):
            listing = did_you_mean(str(value), map(str, key.choices), kind="values", most=12)
            return [Problem(f"peft.{name}", f"{value!r} is not one of its values", listing)]
        return []
    wrong = wrong_type(key, value)
    if wrong is not None:
        return [Problem(f"peft.{name}", wrong[0], wrong[1])]
    if name in _AT_LEAST_ONE and isinstance(value, int) and value < 1:
        return [Problem(f"peft.{name}", f"is {value}, which means nothing here", "it must be 1 or more")]
    if name.endswith("dropout") and isinstance(value, (int, float)) and not 0 <= value < 1:
        what = f"is {value}; it is the share of numbers that are left out"
        return [Problem(f"peft.{name}", what, "it must be 0 or more and less than 1")]
    return []
