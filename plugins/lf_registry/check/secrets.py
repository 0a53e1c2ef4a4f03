"""Tokens in a recipe: found by the key or by their shape, and never repeated in a message."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from ..recipes import Recipe
from .facts import error
from .report import Finding

_KEY = re.compile(r"(?:^|_)(?:token|api_key|apikey|secret|password|webhook_url)$")
_SHAPES = {
    "a Hugging Face token": r"hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{30,}",
    "a GitHub token": r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,}",
    "an AWS key": r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    "an OpenAI or Anthropic key": r"sk-[A-Za-z0-9_-]{20,}",
    "a Google key": r"AIza[A-Za-z0-9_-]{35}",
    "a Slack token": r"xox[abprs]-[A-Za-z0-9-]{10,}",
    "a Weights & Biases key": r"wandb_v\d_[A-Za-z0-9_]{30,}|[0-9a-f]{40}",
}
_ANY_SHAPE = re.compile("|".join(rf"(?<![A-Za-z0-9])(?:{shape})(?![A-Za-z0-9])" for shape in _SHAPES.values()))
#: A Git commit has the shape of a Weights & Biases key.
_COMMIT_KEYS = ("model_revision", "hub_revision")
#: What stands in a recipe in place of a token, and hides nothing.
_PLACE_HOLDERS = ("", "none", "null", "token", "xxx", "...")

HIDDEN = "(hidden)"


def secrets(values: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The secrets of a recipe: where (``hub_token``, ``deepspeed.x.y``) -> (the secret, what it looks like)."""
    found = {}
    for path, key, value in _texts(values):
        if _KEY.search(key) and value.strip().lower() not in _PLACE_HOLDERS:
            found[path] = (value, "a secret")
        elif key not in _COMMIT_KEYS and (match := _ANY_SHAPE.search(value)):
            kind = next(kind for kind, shape in _SHAPES.items() if re.search(shape, match.group()))
            found[path] = (match.group(), kind)
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


def redact(values: dict[str, Any]) -> dict[str, Any]:
    """The same values with every secret hidden, for reports."""

    def hide(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: hide(entry, str(name)) for name, entry in value.items()}
        if isinstance(value, list):
            return [hide(entry, key) for entry in value]
        return HIDDEN if isinstance(value, str) and secrets({key: value}) else value

    return {name: hide(value, str(name)) for name, value in values.items()}


def redact_findings(findings: list[Finding], values: dict[str, Any]) -> list[Finding]:
    """The same findings; a secret that a message repeated (as an unknown template's name, say) is hidden."""
    hidden = sorted({secret for secret, _ in secrets(values).values()}, key=len, reverse=True)

    def hide(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, HIDDEN)
        return text

    return [
        dataclasses.replace(
            finding,
            where=hide(finding.where),
            message=hide(finding.message),
            fix=hide(finding.fix),
            details=tuple(map(hide, finding.details)),
        )
        for finding in findings
    ]


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
