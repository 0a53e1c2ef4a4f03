"""``dataset_info.json``, LLaMA-Factory's own list of datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import UserError, did_you_mean
from .files import json_text, write_atomically
from .paths import roots

FILE_NAME = "dataset_info.json"
_REMOTE_KEYS = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")


def read_dataset_info(folder: Path) -> dict[str, dict[str, Any]]:
    """Read ``dataset_info.json`` in ``folder``.

    Raises:
        UserError: names the file and, for broken JSON, line and column.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
        if text.startswith("\ufeff"):
            raise UserError(
                f"{path}: starts with a byte order mark, with which LLaMA-Factory cannot read it; save it without"
            )
        value = json.loads(text)
    except FileNotFoundError:
        raise UserError(
            f"{path}: there is no such file, so no dataset is known in this folder",
            hint="set `dataset_dir:` to the folder that holds dataset_info.json, or run from there",
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        raise UserError(f"{path}: must hold one object per dataset name")
    return value


#: The part of an entry that describes rows of ``{"messages": [{"role": ..., "content": ...}]}``.
MESSAGES_ENTRY: dict[str, Any] = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}

#: The part of an entry that describes rows of ``{"question": ..., "context": ..., "answer": ...}``.
QUESTION_CONTEXT_ENTRY: dict[str, Any] = {"columns": {"prompt": "question", "query": "context", "response": "answer"}}


def add_entry(folder: Path, name: str, entry: dict[str, Any]) -> None:
    """Add (or replace) an entry of ``dataset_info.json``; all other entries keep their order and their formatting.

    The new entry is put into the text at the end, so that a user's own layout and a diff stay readable. Only replacing
    an entry rewrites the file.

    Raises:
        UserError: the file is not valid, or cannot be written.
    """
    path = folder / FILE_NAME
    info = read_dataset_info(folder) if path.is_file() else {}
    if name in info or not info:
        write_atomically(path, json_text(info | {name: entry}))
        return
    text = path.read_bytes().decode("utf-8")
    newline = "\r\n" if "\r\n" in text else "\n"
    head = text.rstrip().removesuffix("}").rstrip()
    indent = (
        next((line[: len(line) - len(line.lstrip())] for line in text.splitlines()[1:] if line.strip()), "") or "  "
    )
    body = json.dumps({name: entry}, ensure_ascii=False, indent=indent).splitlines()[1:-1]
    added = head + "," + newline + newline.join(body) + newline + "}" + newline
    assert json.loads(added) == info | {name: entry}
    write_atomically(path, added)


def known_datasets() -> dict[str, tuple[Path, dict[str, Any]]]:
    """The datasets of all data roots: name -> (root folder, entry). The first root that has a name wins."""
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for root in roots():
        if (root.path / FILE_NAME).is_file():
            for name, entry in read_dataset_info(root.path).items():
                found.setdefault(name, (root.path, entry))
    return found


def check_datasets(names: list[str], dataset_dir: str) -> None:
    """Check that every dataset of a recipe is listed and that its file is there and not empty.

    Raises:
        UserError: lists all problems; an unknown name gets the known ones and where else it exists.
    """
    if dataset_dir == "ONLINE" or dataset_dir.startswith("REMOTE:"):
        return
    folder = Path(dataset_dir)
    info = read_dataset_info(folder)
    problems = []
    for name in names:
        if name not in info:
            elsewhere = known_datasets().get(name)
            where = f" (it is in {elsewhere[0]}: set dataset_dir to that folder)" if elsewhere else ""
            known = did_you_mean(name, info, kind="datasets")
            problems.append(f"dataset: {name!r} is not in {folder / FILE_NAME}{where}; {known}")
        elif not any(key in info[name] for key in _REMOTE_KEYS):
            problems += _file_problems(name, info[name], folder)
    if problems:
        raise UserError(problems, hint="lf-registry list datasets")


def _file_problems(name: str, entry: dict[str, Any], folder: Path) -> list[str]:
    if "file_name" not in entry:
        return [f"{folder / FILE_NAME}: {name}: has no file_name"]
    path = folder / entry["file_name"]
    if not path.exists():
        return [f"{folder / FILE_NAME}: {name}: its file {path} does not exist"]
    if path.is_file() and path.stat().st_size < 64 and path.read_bytes().strip() in (b"", b"[]"):
        return [f"{path}: the dataset {name!r} is still empty; add examples to it"]
    return []
