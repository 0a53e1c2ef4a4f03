"""A base model's folder: its config and where each tensor's bytes are, without reading a weight."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import is_file
from ..tensors import Header, read_header

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
#: Types that a delta can be added to, by the safetensors name and by torch's.
FLOATS = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


@dataclass(frozen=True)
class Part:
    """The values of one tensor in a file.

    Attributes:
        path: the file.
        name: the tensor's name there.
        dtype: the safetensors name of its type.
        shape: its sizes.
        start, end: its bytes in the file, ``end`` not included.
    """

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Base:
    """A model folder.

    Attributes:
        folder: the folder.
        config: its ``config.json``.
        headers: file name -> header, in the order of the names.
        parts: tensor name -> where it is; in the order of files and bytes.
    """

    folder: Path
    config: dict[str, Any]
    headers: dict[str, Header]
    parts: dict[str, Part]


def main_type(sizes: Iterable[tuple[str, int]]) -> str:
    """The type among ``FLOATS`` that most values have, of types and sizes; fp32 when there are none of them."""
    total = dict.fromkeys(("F32", *FLOATS), 0)
    for dtype, size in sizes:
        if dtype in total:
            total[dtype] += size
    return max(total, key=lambda name: total[name])


def parts_of(header: Header) -> dict[str, Part]:
    """The tensors of a file in the order of their bytes."""
    ordered = sorted(header.tensors.items(), key=lambda item: (item[1].start, item[1].end))
    return {name: Part(header.path, name, t.dtype, t.shape, t.start, t.end) for name, t in ordered}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file is missing, unreadable or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:  # not UTF-8, or not JSON
        raise UserError(f"{path}: is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: must hold a JSON object, holds {type(value).__name__}")
    return value


def read_base(folder: Path) -> Base:
    """Read config, index and all headers of a base model.

    Raises:
        UserError: lists everything that is wrong: missing or broken files, a wrong index, quantized weights.
    """
    config = read_json(folder / "config.json")
    method = (config.get("quantization_config") or {}).get("quant_method", "quantized")
    if config.get("quantization_config"):
        raise UserError(
            f"{folder / 'config.json'}: quantization_config: the base is quantized ({method}); a delta cannot be added "
            "to packed weights, and rounding it to them would lose most of it",
            hint="name the full-precision model it was made from: --base HUB_ID_OR_FOLDER",
        )
    files, listed = _files(folder)
    problems: list[str] = []
    headers: dict[str, Header] = {}
    parts: dict[str, Part] = {}
    for file in files:
        try:
            headers[file] = read_header(folder / file)
        except UserError as error:
            problems += error.problems
            continue
        for name, part in parts_of(headers[file]).items():
            if name in parts:
                problems.append(
                    f"{part.path}: tensor {name!r} stands in {parts[name].path.name} too; which one counts?"
                )
            parts.setdefault(name, part)
    if not problems:
        problems = _compare_with_index(folder, listed, parts)
    if not parts and not problems:
        problems = [f"{folder}: its weight files hold no tensor"]
    if problems:
        raise UserError(problems, hint="download the model again, or correct its files")
    return Base(folder, config, headers, parts)


def _files(folder: Path) -> tuple[list[str], dict[str, str] | None]:
    """The weight files' names, and the index's tensor -> file (None without an index)."""
    if is_file(folder / INDEX):
        listed = read_json(folder / INDEX).get("weight_map")
        if not isinstance(listed, dict) or not all(isinstance(file, str) for file in listed.values()) or not listed:
            raise UserError(f"{folder / INDEX}: weight_map must be an object of tensor name -> file name")
        outside = sorted({file for file in listed.values() if Path(file).name != file})
        if outside:
            raise UserError(f"{folder / INDEX}: weight_map names files outside the folder: {', '.join(outside[:3])}")
        return sorted(set(listed.values())), listed
    if (folder / SINGLE).exists() or (folder / SINGLE).is_symlink():
        return [SINGLE], None
    old = [path.name for path in sorted(folder.glob("pytorch_model*.bin"))]
    if old:
        raise UserError(
            f"{folder}: has {old[0]}, but no safetensors file; pickled weights cannot be read in pieces",
            hint="load it once with Transformers and save_pretrained it",
        )
    raise UserError(f"{folder}: has neither {SINGLE} nor {INDEX}, so there are no weights to merge into")


def _compare_with_index(folder: Path, listed: dict[str, str] | None, parts: dict[str, Part]) -> list[str]:
    if listed is None:
        return []
    problems = []
    for name, file in listed.items():
        if name not in parts:
            problems.append(f"{folder / INDEX}: tensor {name!r} is said to be in {file}, which does not have it")
        elif parts[name].path.name != file:
            problems.append(f"{folder / INDEX}: tensor {name!r} is said to be in {file}, is in {parts[name].path.name}")
    extra = [name for name in parts if name not in listed]
    problems += [f"{parts[name].path}: tensor {name!r} is not in {INDEX}" for name in extra]
    return problems if len(problems) <= 12 else [*problems[:10], f"... and {len(problems) - 10} more of the same kind"]
