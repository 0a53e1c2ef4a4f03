"""The rows of a recipe's dataset files, and the texts in a row."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from ..dataset_info import FILE_NAME
from ..errors import UserError


def read_rows(name: str, entry: dict[str, Any] | None, folder: Path, notes: list[str]) -> list[dict[str, Any]] | None:
    """Read the rows of one entry of ``dataset_info.json``, with only the columns that LLaMA-Factory reads.

    Args:
        notes: gets a sentence when the rows cannot be counted here; the result is then None.

    Raises:
        UserError: the file is broken, or the entry is.
    """
    if entry is None or "file_name" not in entry:
        notes.append(f"dataset {name}: " + ("is not a local file" if entry else f"is not in {folder / FILE_NAME}"))
        return None
    where = f"{folder / FILE_NAME}: {name}"
    columns, file_name, count = entry.get("columns") or {}, entry["file_name"], entry.get("num_samples")
    problems = []
    if not isinstance(file_name, str):
        problems.append(f"{where}: file_name: needs a file's name, is {file_name!r}")
    if not isinstance(columns, dict):
        problems.append(f"{where}: columns: needs one `key: column` each, is {columns!r}")
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        problems.append(f"{where}: num_samples: needs a whole number from 1 up, is {count!r}")
    if problems:
        raise UserError(problems, hint="lf-registry check RECIPE")
    path = folder / file_name
    if not path.is_file() or path.suffix not in _READERS:
        kinds = ", ".join(_READERS)
        notes.append(f"dataset {name}: only {kinds} files are counted, {path} is not one that is here")
        return None
    try:
        rows = _READERS[path.suffix](path)
    except (json.JSONDecodeError, UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error})", hint="lf-registry check RECIPE") from None
    wanted = {column for column in columns.values() if isinstance(column, str)} or None
    found = [{key: row[key] for key in row if not wanted or key in wanted} for row in rows if isinstance(row, dict)]
    if entry.get("ranking") is True:
        found = [_pair(row, columns) for row in found]
    if count is None or not found:
        return found
    return [found[index % len(found)] for index in range(count)]  # LLaMA-Factory repeats rows when there are too few


def texts(value: Any) -> list[str]:
    """All texts in a row, roles left out."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    if isinstance(value, dict):
        return [text for key, part in value.items() if key not in ("role", "from") for text in texts(part)]
    return []


def _pair(row: dict[str, Any], columns: dict[str, Any]) -> dict[str, Any]:
    """A preference pair with its longer answer alone: both answers of a batch are padded to the longest."""
    answers = [columns.get(key) for key in ("chosen", "rejected")]
    if not all(answer in row for answer in answers):
        return row
    shorter = min(answers, key=lambda answer: sum(map(len, texts(row[answer]))))
    return {key: value for key, value in row.items() if key != shorter}


def _json(path: Path) -> list[Any]:
    text = path.read_text(encoding="utf-8")
    # Not splitlines: a text may hold U+2028 and the like, which are no ends of a line in JSON.
    lines = path.suffix == ".jsonl" or not text.lstrip().startswith("[")
    return [json.loads(line) for line in text.split("\n") if line.strip()] if lines else json.loads(text)


def _csv(path: Path) -> list[Any]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _text(path: Path) -> list[Any]:
    return [{"text": line} for line in path.read_text(encoding="utf-8").split("\n") if line]


_READERS = {".json": _json, ".jsonl": _json, ".csv": _csv, ".txt": _text}
