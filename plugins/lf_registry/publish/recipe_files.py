"""The recipe and the dataset entries, as they are published beside the weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..dataset_info import FILE_NAME, read_dataset_info
from ..errors import UserError
from ..files import json_text
from ..recipes import Recipe, names
from .base_model import is_hub_id
from .clean import clean_values, last_part

#: Keys that hold prose, in which a slash begins no path.
_TEXT_KEYS = ("default_system",)


def recipe_text(recipe: Recipe, base_model: str | None, *, with_datasets: bool) -> str:
    """The recipe as it was run: overrides applied, paths of this machine replaced, comments kept where possible.

    Args:
        recipe: with its overrides.
        base_model: the base's id on the Hub, which stands in for a local folder.
        with_datasets: ``dataset_info.json`` goes up too, so ``dataset_dir`` names the folder both stand in.
    """
    from omegaconf import OmegaConf

    text = recipe.path.read_text(encoding="utf-8-sig")
    written: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(text))  # type: ignore[assignment]
    wanted = {key: value if key in _TEXT_KEYS else clean_values(value) for key, value in recipe.values.items()}
    model = recipe.values.get("model_name_or_path")
    if isinstance(model, str) and model and not is_hub_id(model):
        wanted["model_name_or_path"] = base_model or last_part(model)
    if with_datasets and "dataset_dir" in wanted:
        wanted["dataset_dir"] = "."
    patched = _patched(
        text, {key: value for key, value in wanted.items() if key not in written or written[key] != value}
    )
    if patched is not None and OmegaConf.to_container(OmegaConf.create(patched)) == wanted:
        return patched
    import yaml

    head = (
        f"# Written by lf-registry from {recipe.path.name}, with the command line's changes; its comments are lost.\n"
    )
    return head + yaml.safe_dump(wanted, allow_unicode=True, sort_keys=False, width=110)


def _patched(text: str, changes: dict[str, Any]) -> str | None:
    """The text with values replaced in their lines, and new keys at the end; None when a key has no line of its own."""
    import yaml

    added = []
    for key, value in changes.items():
        if isinstance(value, dict | list):
            return None
        line = yaml.safe_dump({key: value}, allow_unicode=True, width=10**6).rstrip("\n")
        if "\n" in line:
            return None
        pattern = rf"(?m)^{re.escape(key)}[ \t]*:(?=[ \t\r\n]|$)[^\n#]*?(?P<comment>[ \t]+#[^\n]*)?(?P<end>\r?)$"
        if re.search(rf"(?m)^{re.escape(key)}[ \t]*:", text):
            text = re.sub(
                pattern, lambda found, line=line: line + (found["comment"] or "") + found["end"], text, count=1
            )
        else:
            added.append(line)
    if added:
        text = text.rstrip("\n") + "\n\n### given on the command line\n" + "\n".join(added) + "\n"
    return text


def dataset_entries(recipe: Recipe) -> tuple[str | None, list[str]]:
    """The entries of ``dataset_info.json`` that the recipe uses, as a file of their own.

    Returns:
        The file's text (None without datasets of a local list), and sentences on what is not in it.
    """
    used = list(dict.fromkeys(names(recipe.values.get("dataset")) + names(recipe.values.get("eval_dataset"))))
    folder = recipe.values.get("dataset_dir", "data")
    if not used or not isinstance(folder, str) or folder == "ONLINE" or folder.startswith("REMOTE:"):
        return None, []
    try:
        info = read_dataset_info(Path(folder))
    except UserError as error:
        return None, [f"the dataset entries do not go up: {problem}" for problem in error.problems]
    found = {name: clean_values(info[name]) for name in used if name in info}
    missing = [name for name in used if name not in info]
    notes = [f"dataset {name}: is not in {Path(folder) / FILE_NAME}, so its entry does not go up" for name in missing]
    return (json_text(found) if found else None), notes
