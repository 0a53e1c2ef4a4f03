"""Tokens in a recipe, found by their key or by their shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..recipes import Recipe
from ..secret_text import SHAPES, names_a_secret
from .facts import error
from .report import Finding

#: What a text is searched for; 40 hexadecimal digits are an older Weights & Biases key.
_SHAPES = SHAPES | {"a Weights & Biases key": SHAPES["a Weights & Biases key"] + "|[0-9a-f]{40}"}
_ANY_SHAPE = re.compile("|".join(rf"(?<![A-Za-z0-9])(?:{shape})(?![A-Za-z0-9])" for shape in _SHAPES.values()))
#: A Git commit has the shape of a Weights & Biases key.
_COMMIT_KEYS = ("model_revision", "hub_revision")
#: What stands in a recipe in place of a token, and hides nothing.
_PLACE_HOLDERS = ("", "none", "null", "token", "xxx", "...")


def secrets(values: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The secrets of a recipe: where (``hub_token``, ``deepspeed.x.y``) -> (the secret, what it looks like)."""
    found = {}
    for path, key, value in _texts(values):
        if key not in _COMMIT_KEYS and (match := _ANY_SHAPE.search(value)):
            kind = next(kind for kind, shape in _SHAPES.items() if re.search(shape, match.group()))
            found[path] = (value if names_a_secret(key) else match.group(), kind)
        elif names_a_secret(key) and value.strip().lower() not in _PLACE_HOLDERS:
            found[path] = (value, "a secret")
    return found


def _texts(value: Any, path: str = "", key: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from _texts(entry, f"{path}.{name}" if path else str(name), str(name))
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry, path, key)
    elif isinstance(value, str):
        yield path, key, value


def check_secrets(values: dict[str, Any], recipe: Recipe) -> Iterator[Finding]:
    """Refuse tokens in a recipe: it is copied, committed and pushed with the model."""
    for path, (_, kind) in secrets(values).items():
        what = "this key holds a secret" if kind == "a secret" else f"the value looks like {kind}"
        yield error(
            recipe,
            "secret",
            path,
            f"{what}. Recipes are copied and committed, and a training's arguments are saved and pushed with the model",
            _instead(path, kind),
        )


def _instead(path: str, kind: str) -> str:
    rest = "remove the line, and revoke the token if the file was ever shared"
    if "Hugging Face" in kind or path in ("hf_hub_token", "hub_token"):
        return f"run `hf auth login` once, or set HF_TOKEN in the environment; then {rest}"
    if "Weights" in kind:
        return f"run `wandb login` once, or set WANDB_API_KEY in the environment; then {rest}"
    if path.startswith("swanlab"):
        return f"run `swanlab login` once, or set SWANLAB_API_KEY in the environment; then {rest}"
    return f"set it in the environment instead; then {rest}"
