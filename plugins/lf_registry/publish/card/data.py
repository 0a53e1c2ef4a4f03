"""The data of a training: where it is, how much of it, and in which language."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...dataset_info import read_dataset_info
from ...errors import UserError
from ...recipes import names

_MOST_BYTES = 64 * 2**20
_MOST_LETTERS = 200_000
#: From this share of Hangul among the letters on, a text is called Korean. Prose reaches 0.8; with code blocks, 0.4.
_KOREAN = 0.25
#: What a recipe's datasets are for.
USES = ("training", "evaluation")


@dataclass(frozen=True)
class Dataset:
    """One dataset of a recipe.

    Attributes:
        name: its name in the recipe.
        use: one of ``USES``.
        hub: its id on the Hub; None for a local file.
        rows: how many; None when that was not read.
    """

    name: str
    use: str
    hub: str | None = None
    rows: int | None = None


def datasets_of(recipe: dict[str, Any]) -> tuple[list[Dataset], float | None]:
    """The datasets that a recipe names, and the share of Hangul among the letters of the local ones.

    Files that cannot be read are left out of the share; a recipe without datasets gives no share.
    """
    found, texts = [], []
    folder = recipe.get("dataset_dir", "data")
    for key, use in zip(("dataset", "eval_dataset"), USES, strict=True):
        for name in names(recipe.get(key)):
            if folder == "ONLINE":
                found.append(Dataset(name, use, hub=name))
                continue
            entry = _entry(folder, name)
            hub = entry.get("hf_hub_url")
            rows = _rows(Path(str(folder)) / str(entry["file_name"])) if "file_name" in entry and not hub else None
            found.append(Dataset(name, use, hub if isinstance(hub, str) else None, len(rows) if rows else None))
            texts.append(rows or [])
    return found, hangul_share(_texts(texts))


def _entry(folder: object, name: str) -> dict[str, Any]:
    try:
        return read_dataset_info(Path(str(folder))).get(name, {})
    except UserError:
        return {}  # the data need not be on the machine that publishes


def _rows(path: Path) -> list[Any] | None:
    """The rows of a JSON or JSONL file; None for another format, or one too large for a card."""
    if path.suffix not in (".json", ".jsonl") or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return None
    try:
        text = path.read_text(encoding="utf-8-sig")
        value = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.split("\n") if line]
    except (ValueError, OSError):
        return None
    return value if isinstance(value, list) else None


def _texts(value: Any) -> Iterator[str]:
    """All texts in rows, without the names of their columns."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def hangul_share(texts: Iterable[str]) -> float | None:
    """The share of Hangul among the letters (the first 200,000); None when there is no letter."""
    letters = hangul = 0
    for text in texts:
        for character in text:
            if character.isalpha():
                letters += 1
                hangul += unicodedata.name(character, "").startswith("HANGUL")
        if letters >= _MOST_LETTERS:
            break
    return hangul / letters if letters else None


def languages(share: float | None, persona: str) -> list[str]:
    """The languages that the data, or without data the persona, shows. Only Korean is told by its letters."""
    share = hangul_share([persona]) if share is None else share
    return ["ko"] if share is not None and share >= _KOREAN else []
