"""Which command makes a folder that is not there yet: the training or the merge of one of our recipes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError
from .paths import roots
from .recipes import known_recipes
from .registry import read_yaml, yaml_files


def command_that_makes(folder: str | Path) -> str | None:
    """The command that writes a folder, ready to copy; None when no recipe of ours does.

    Args:
        folder: what a recipe may have as ``output_dir`` or ``export_dir``, or a ``checkpoint-N`` in it.
    """
    wanted = Path(folder)
    wanted = wanted.parent if wanted.name.startswith("checkpoint-") else wanted
    try:
        recipes = list(_recipes())
    except UserError:
        return None  # LF_REGISTRY_PATH is wrong, which every verb says that needs it
    for path, key, command in recipes:
        try:
            made = read_yaml(path).get(key)
        except UserError:
            continue  # a broken recipe has its own error where it is used
        if isinstance(made, str) and made and Path(made) == wanted:
            return f"{command} {shlex.quote(str(path))}"
    return None


def _recipes() -> Iterator[tuple[Path, str, str]]:
    """Each recipe with the key of the folder that it writes, and the command that runs it."""
    for path in known_recipes():
        yield path, "output_dir", "llamafactory-cli train"
    for root in roots():
        for path in yaml_files(root.path / "recipes" / "merge"):
            shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
            yield shown, "export_dir", "lf-registry merge"
