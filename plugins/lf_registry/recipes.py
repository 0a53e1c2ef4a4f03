"""Recipes: plain LLaMA-Factory YAML."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError, WrongUsage, did_you_mean
from .paths import roots
from .registry import read_yaml, yaml_files


@dataclass(frozen=True)
class Recipe:
    """A recipe with the command line's ``key=value`` overrides applied.

    Attributes:
        path: the file.
        values: key -> value, as LLaMA-Factory's parser will get them.
        overrides: the ``key=value`` texts that were applied.
    """

    path: Path
    values: dict[str, Any]
    overrides: tuple[str, ...] = ()

    def train_command(self, *changes: str) -> str:
        """The command that trains this recipe with further changes, ready to copy."""
        changed = {change.partition("=")[0] for change in changes}
        kept = [override for override in self.overrides if override.partition("=")[0] not in changed]
        return shlex.join(["llamafactory-cli", "train", str(self.path), *kept, *changes])


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file the way ``llamafactory-cli`` does.

    Raises:
        UserError: the file is missing or not YAML, or an override is not ``key=value``.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name one of the recipes in it")
    if not path.is_file():
        beside = list(yaml_files(path.parent))  # a merge or chat recipe is none of those that train
        known = {str(recipe) for recipe in [*known_recipes(), *beside]}
        raise UserError(f"{path}: there is no such recipe; {did_you_mean(str(path), known, kind='recipes')}")
    read_yaml(path)  # for its errors; OmegaConf reads numbers such as 1e-4 in its own way, and LLaMA-Factory uses it
    wrong = [text for text in overrides if "=" not in text or text.startswith(("-", "="))]
    if wrong:
        raise WrongUsage(
            [f"{text!r} is not an override; write key=value, for example output_dir=out/test" for text in wrong]
        )
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    changes = OmegaConf.create()
    for text in overrides:
        try:
            changes = OmegaConf.merge(changes, OmegaConf.from_cli([text]))
        except (yaml.YAMLError, OmegaConfBaseException) as error:
            first = str(error).strip().splitlines()[0]
            raise WrongUsage(f"{text!r} is not YAML behind the equals sign ({first}); put it into quotes") from None
    merged = OmegaConf.merge(OmegaConf.load(path), changes)
    return Recipe(path, OmegaConf.to_container(merged), tuple(overrides))  # type: ignore[arg-type]


def known_recipes() -> list[Path]:
    """The training recipes of all data roots: relative to the current folder where that is possible."""
    found = []
    for root in roots():
        for path in yaml_files(root.path / "recipes"):
            found.append(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    return found


def names(value: Any) -> list[str]:
    """A recipe's ``dataset:`` as a list (LLaMA-Factory takes ``a,b`` as well as a YAML list)."""
    if value is None:
        return []
    parts = value if isinstance(value, list) else str(value).split(",")
    return [str(part).strip() for part in parts if str(part).strip()]
