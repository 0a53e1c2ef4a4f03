"""A dataset's columns against its entry in ``dataset_info.json``, and why a file cannot be loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..dataset_info import read_dataset_info
from ..errors import UserError, did_you_mean
from .report import Finding

#: What an entry can map, and the names under which people keep the same thing.
_MAPPED = ("prompt", "query", "response", "history", "messages", "system", "tools", "images", "videos", "audios")
_ALPACA = {"prompt", "query", "response", "history"}
_USUAL = {
    "history": "history",
    "input": "query",
    "context": "query",
    "instruction": "prompt",
    "output": "response",
    "system": "system",
    "system_prompt": "system",
    "tools": "tools",
    "images": "images",
}


def column_findings(where: str, attributes: Any, rows: Any) -> Iterator[Finding]:
    """Columns that the entry names and the file does not have, and columns that look as if they had been forgotten."""
    alpaca = attributes.formatting == "alpaca"
    unused = {"messages"} if alpaca else _ALPACA
    mapped = {key: getattr(attributes, key) for key in _MAPPED if key not in unused and getattr(attributes, key)}
    if attributes.ranking:
        mapped |= {"chosen": attributes.chosen, "rejected": attributes.rejected}
        mapped.pop("response", None)
    if attributes.kto_tag:
        mapped["kto_tag"] = attributes.kto_tag
    for key, column in mapped.items():
        if column not in rows.column_names:
            known = did_you_mean(str(column), rows.column_names, kind="columns")
            yield Finding(
                "error",
                "missing-column",
                where,
                f"its entry says that {key!r} is in column {column!r}, which the file does not have; {known}",
                'these are rows of the alpaca format: take "formatting" and "tags" out of the entry, and write '
                '"columns": {"prompt": "instruction", "response": "output"}'
                if key == "messages" and {"instruction", "output"} <= set(rows.column_names)
                else f'correct "columns" of the entry in dataset_info.json, for example {{"{key}": "..."}}',
            )
    for column, key in _USUAL.items():
        if column in rows.column_names and column not in mapped.values() and key not in unused and key not in mapped:
            yield Finding(
                "warning",
                "ignored-column",
                where,
                f"has a column {column!r}, which its entry does not map: the model never sees it",
                f'add "{key}": "{column}" to "columns" of the entry in dataset_info.json, or ignore this',
            )


def load_failure(name: str, error: Exception, dataset_dir: str) -> Finding | None:
    """Why a dataset cannot be loaded; None when it is somewhere that cannot be reached now."""
    path = _local_file(name, dataset_dir)
    if path is None and _is_about_the_network(error):
        return None
    cause = error.__cause__ or error.__context__ or error
    if path is not None and path.is_dir():
        why = "the folder is empty" if not any(path.iterdir()) else f"{type(cause).__name__}: {cause}"
    else:
        why = (path and (_not_utf8(path) or _odd_row(path))) or f"{type(cause).__name__}: {cause}"
    return Finding(
        "error",
        "unreadable-dataset",
        f"dataset {name}" if path is None else f"dataset {name}: {path}",
        f"it cannot be loaded: {why}",
        f"correct the file, or write it anew: lf-registry convert SOURCE --name {name}"
        + (" --encoding cp949" if "not UTF-8" in why else ""),
    )


def _is_about_the_network(error: BaseException | None) -> bool:
    seen = 0
    while error is not None and seen < 10:
        if (
            isinstance(error, ConnectionError)
            or "onnection" in type(error).__name__
            or "Offline" in type(error).__name__
        ):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def _local_file(name: str, dataset_dir: str) -> Path | None:
    try:
        entry = read_dataset_info(Path(dataset_dir)).get(name, {})
    except UserError:
        return None
    path = Path(dataset_dir) / entry["file_name"] if "file_name" in entry else None
    return path if path is not None and path.exists() else None


def _not_utf8(path: Path) -> str | None:
    if path.suffix not in (".json", ".jsonl", ".csv", ".txt"):
        return None
    with path.open(encoding="utf-8") as stream:
        try:
            for _ in iter(lambda: stream.read(1 << 20), ""):
                pass
        except UnicodeDecodeError as error:
            return f"it is not UTF-8 text ({error.reason}), perhaps cp949"
    return None


def _odd_row(path: Path) -> str | None:
    """What is wrong in a JSON or JSONL file: its syntax, or the first row whose values have other types than before."""
    if path.suffix not in (".json", ".jsonl"):
        return None
    first: dict[str, str] = {}
    try:
        for number, row in _rows(path.read_text(encoding="utf-8")):
            if not isinstance(row, dict):
                return f"row {number} is {_kind(row)}, not an object with columns"
            for column, value in row.items():
                kind = _kind(value)
                if kind != "null" and first.setdefault(column, kind) != kind:
                    return f"row {number}: {column!r} is {kind}, in the rows before it is {first[column]}"
    except UserError as error:
        return str(error)
    return None


def _rows(text: str) -> Iterator[tuple[int, Any]]:
    try:
        value = json.loads(text)
        yield from enumerate(value if isinstance(value, list) else [value], 1)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("["):
            raise UserError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except json.JSONDecodeError as wrong:
                    raise UserError(f"line {number}, column {wrong.colno}: {wrong.msg}") from None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
