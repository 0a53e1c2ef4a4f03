"""Models and adapters that are folders on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..files import is_dir
from ..recipes import Recipe
from .facts import error, get
from .report import Finding

#: Keys that name a model or an adapter; some take several, split at commas.
_KEYS = (
    "model_name_or_path",
    "adapter_name_or_path",
    "ref_model",
    "ref_model_adapters",
    "reward_model",
    "reward_model_adapters",
)


def named_models(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every model and adapter that a recipe names: (key, folder or Hub id)."""
    for key in _KEYS:
        value = get(values, key)
        if isinstance(value, str) and not (key == "reward_model" and value.startswith(("http://", "https://"))):
            yield from ((key, part.strip()) for part in value.split(",") if part.strip())


def is_no_hub_id(name: str) -> bool:
    """Whether a name can only be a path: a Hub id is ``name`` or ``organization/name``."""
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or name.endswith("/")


def folders(values: dict[str, Any], recipe: Recipe) -> Iterator[Finding]:
    """A path at which there is no folder."""
    for key, name in named_models(values):
        if is_no_hub_id(name) and not is_dir(name):
            home = is_dir(str(Path(name).expanduser())) if name.startswith("~") else False
            yield error(
                recipe,
                "no-folder",
                key,
                f"there is no folder {name}"
                + (
                    "; LLaMA-Factory does not know what ~ stands for"
                    if home
                    else " (paths start at the current folder)"
                ),
                f"write {Path(name).expanduser()}" if home else "correct the path, or name a model of the Hub",
            )


RULES = (folders,)
