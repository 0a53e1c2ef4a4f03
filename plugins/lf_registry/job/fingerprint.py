"""What a finished stage was made from and what it made, so that it is skipped only while both are as they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..dataset_info import read_dataset_info
from ..errors import UserError
from ..files import is_file
from ..recipes import Recipe, names
from ..resume.files import damage
from ..templates import load_templates

#: Keys that do not change what is learned; ``output_dir`` is the job's own place.
HARMLESS = frozenset(
    (
        "output_dir",
        "overwrite_output_dir",
        "logging_dir",
        "logging_steps",
        "logging_strategy",
        "report_to",
        "run_name",
        "plot_loss",
        "save_steps",
        "save_strategy",
        "save_total_limit",
        "save_only_model",
        "ddp_timeout",
        "overwrite_cache",
        "preprocessing_num_workers",
        "dataloader_num_workers",
        "resume_from_checkpoint",
        "eval_on_start",
        "disable_tqdm",
        "log_level",
        "cache_dir",
    )
)
#: The files that make a model or an adapter.
_RESULT = ("*.safetensors", "*.bin", "*.index.json", "config.json", "adapter_config.json", "tokenizer*.json")
_NOT_RESULT = ("training_args.bin", "optimizer.bin", "scheduler.bin")
_EDGE = 1 << 20


def source_of(recipe: Recipe, leave_out: frozenset[str] = HARMLESS) -> dict[str, str]:
    """What a training is made from: ``key`` -> value, and file -> digest of its content.

    Files are the DeepSpeed configuration, the datasets that stand in a local ``dataset_info.json``, and the template.
    """
    values = recipe.values
    found = {
        key: json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
        for key, value in values.items()
        if key not in leave_out
    }
    for path in _files(values):
        if path.is_file():
            found[f"file {path}"] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return found


def _files(values: Mapping[str, Any]) -> list[Path]:
    found = []
    deepspeed = values.get("deepspeed")
    if isinstance(deepspeed, str) and is_file(deepspeed):
        found.append(Path(deepspeed))
    folder = values.get("dataset_dir", "data")
    if isinstance(folder, str) and is_file(Path(folder) / "dataset_info.json"):
        try:
            info = read_dataset_info(Path(folder))
        except UserError:
            info = {}
        used = names(values.get("dataset")) + names(values.get("eval_dataset"))
        files = [info.get(name, {}).get("file_name") for name in used]
        found += [Path(folder) / file for file in files if isinstance(file, str)]
    try:
        template = load_templates().get(str(values.get("template")))
    except UserError:
        template = None
    return [*found, template.path] if template else found


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What changed, ``key: before -> now`` each."""
    changed = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if key.startswith("file "):
            changed.append(f"{key.removeprefix('file ')} has another content" if old and new else f"{key} came or went")
        else:
            changed.append(f"{key}: {old or 'not set'} -> {new or 'not set'}")
    return changed


def result_of(folder: Path) -> dict[str, str]:
    """The model or adapter in a folder: name -> size and digest of both ends of the file; empty: there is none.

    Two trainings differ in every weight, so both ends of each file tell them apart without reading gigabytes.
    """
    found = {}
    for pattern in _RESULT:
        for path in sorted(folder.glob(pattern)):
            if path.is_file() and path.name not in _NOT_RESULT:
                found[path.name] = _ends(path)
    weights = any(name.endswith((".safetensors", ".bin")) for name in found)
    return found if weights else {}


def _ends(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as stream:
        content = stream.read(_EDGE)
        if size > 2 * _EDGE:
            stream.seek(size - _EDGE)
            content += stream.read(_EDGE)
        else:
            content += stream.read()
    return f"{size} bytes, {hashlib.sha256(content).hexdigest()[:16]}"


def broken_files(folder: Path) -> list[str]:
    """Result files that are cut off or empty, ``name: what is wrong`` each."""
    return [f"{name} {wrong}" for name in result_of(folder) if (wrong := damage(folder / name)) is not None]
