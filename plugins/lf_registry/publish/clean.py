"""Paths of this machine in files whose fields are known, replaced by the Hub id or the last part of the path.

Only the value is replaced in the text; every other byte stays as it was saved. The file on the disk is not touched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ..files import json_text
from .base_model import is_hub_id

#: The fields that name the base model, or files, by the file they stand in.
_BASE = {
    "adapter_config.json": ("base_model_name_or_path", "tokenizer_name_or_path"),
    "config.json": ("_name_or_path",),
    "generation_config.json": ("_name_or_path",),
    "tokenizer_config.json": ("name_or_path",),
    "processor_config.json": ("_name_or_path", "name_or_path"),
    "preprocessor_config.json": ("_name_or_path", "name_or_path"),
    "quantize_config.json": ("model_name_or_path",),
    "merge_report.json": ("base",),
}
_FILES = {
    "tokenizer_config.json": ("special_tokens_map_file", "tokenizer_file", "vocab_file", "merges_file"),
    "trainer_state.json": ("best_model_checkpoint",),
    "merge_report.json": ("adapters",),
}
_SENTENCES = {"merge_report.json": ("notes",)}
#: Without these an adapter cannot be loaded, so the base's folder name alone would be wrong.
_NEEDED = ("base_model_name_or_path", "tokenizer_name_or_path")
_PATH_IN_SENTENCE = re.compile(r"(?<![\w.~/:@-])(?:~|[A-Za-z]:)?[/\\](?:[\w.@ -]*\w[/\\])+(?=[\w.])")
#: (key, old value, new value)
Change = tuple[str, str, str]


def last_part(path: str) -> str:
    """The name of a file or a folder: ``checkpoint-150`` of ``/workspace/out/checkpoint-150/``."""
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]


def is_absolute(text: str) -> bool:
    """Whether a text is a path from the machine's root or a home, on any system; ``/no_think`` is none."""
    return re.match(r"[\\/][^\\/\s]+[\\/]|~[\\/]|[A-Za-z]:[\\/]|file:", text) is not None


def is_cleaned(name: str) -> bool:
    """Whether a file of this name has fields that ``clean_json`` knows."""
    return name in _BASE or name in _FILES


def clean_json(name: str, text: str, base_model: str | None) -> tuple[str, list[str]]:
    """Replace the local paths in the known fields of a JSON file.

    Args:
        name: the file's name.
        text: its content.
        base_model: the base's id on the Hub.

    Returns:
        The text to publish, and problems: fields that need the base's id, which is not known.

    Raises:
        ValueError: the text is not JSON.
    """
    value = json.loads(text)
    problems: list[str] = []
    changes: list[Change] = []

    def base(key: str, old: str) -> str:
        if is_hub_id(old):
            return old
        if base_model is None and key in _NEEDED:
            problems.append(
                f"{key}: {old} is a folder of this machine, and the base model's id on the Hub is not known"
            )
        return base_model or last_part(old)

    fields: dict[str, Callable[[str, str], str]] = dict.fromkeys(_BASE.get(name, ()), base)
    fields |= dict.fromkeys(_FILES.get(name, ()), lambda key, old: old if is_hub_id(old) else last_part(old))
    fields |= dict.fromkeys(_SENTENCES.get(name, ()), lambda key, old: _PATH_IN_SENTENCE.sub("", old))
    expected = _changed(value, fields, changes)
    wanted = json.dumps(expected)
    for change in dict.fromkeys(changes):
        text = _replaced(text, *change)
    return (text if json.dumps(json.loads(text)) == wanted else json_text(expected)), problems


def _changed(value: Any, fields: dict[str, Callable[[str, str], str]], changes: list[Change], key: str = "") -> Any:
    """A copy with the fields' texts changed, at any depth; notes every change."""
    if isinstance(value, dict):
        return {name: _changed(item, fields, changes, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_changed(item, fields, changes, key) for item in value]
    if not isinstance(value, str) or not value or key not in fields:
        return value
    new = fields[key](key, value)
    if new != value:
        changes.append((key, value, new))
    return new


def _replaced(text: str, key: str, old: str, new: str) -> str:
    """Replace a value behind its key, or in the list behind it; written either way that JSON can write Korean."""
    for written in dict.fromkeys(json.dumps(old, ensure_ascii=ascii_only) for ascii_only in (False, True)):
        pattern = rf"({re.escape(json.dumps(key))}\s*:\s*(?:\[[^\]{{}}]*?)?){re.escape(written)}"
        while (again := re.sub(pattern, lambda match: match[1] + json.dumps(new, ensure_ascii=False), text)) != text:
            text = again
    return text


def clean_modelfile(text: str) -> str:
    """The Modelfile with ``FROM`` and ``ADAPTER`` at the folder it stands in, where they named one of this machine."""
    return re.sub(
        r"(?m)^((?:FROM|ADAPTER)[ \t]+)(\"?)([^\"\n]+)\2[ \t]*$",
        lambda match: f"{match[1]}." if re.match(r"[\\/~]|[A-Za-z]:[\\/]", match[3]) else match[0],
        text,
    )


def clean_values(value: Any) -> Any:
    """A recipe's or a dataset entry's value with every absolute path reduced to its last part."""
    if isinstance(value, dict):
        return {key: clean_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean_values(item) for item in value]
    if isinstance(value, str) and any(is_absolute(part.strip()) for part in value.split(",")) and "\n" not in value:
        return ",".join(_relative(part) for part in value.split(","))
    return value


def _relative(part: str) -> str:
    return last_part(part.strip()) if is_absolute(part.strip()) else part
