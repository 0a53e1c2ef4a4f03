"""The rules of the safetensors format: what a file's first bytes, its header and its size must look like.

Source: the safetensors format description, version 0.8. Used by ``tensors``, which reads the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from .errors import UserError, did_you_mean

#: The format's limit for the JSON part, in bytes.
MOST_HEADER_BYTES = 100_000_000
#: Bits of one value. Source: the safetensors format, version 0.8; the types below a byte are packed.
DTYPE_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
#: The first line of the small text file that Git leaves in place of a large file.
LFS_START = b"version https://git-lfs"
#: More values than any tensor has; the format counts in 64 bits.
_TOO_MANY = 2**63
#: How many names a message lists.
_MOST_NAMES = 5


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file.

    Attributes:
        dtype: the format's name of the type: ``BF16``.
        shape: the sizes.
        start, end: the bytes of the file that hold its values, ``start`` included, ``end`` not.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class HeaderProblem:
    """One problem of a file: its kind, stable for programs (``truncated-shard``), and the message."""

    code: str
    message: str


class BadTensorFile(UserError):
    """A file that is no whole safetensors file. ``found`` holds the problems with their codes."""

    def __init__(self, found: Sequence[HeaderProblem]) -> None:
        self.found = tuple(found)
        super().__init__([problem.message for problem in found])


def fail(path: Path, code: str, message: str) -> NoReturn:
    """Raise the one problem that makes the rest of the file unreadable."""
    raise BadTensorFile([HeaderProblem(code, f"{path}: {message}")])


def check_begin(path: Path, begin: bytes, size: int) -> None:
    """Check the first eight bytes against the file's size, before anything is read into memory."""
    if size == 0:
        fail(path, "empty-file", "the file is empty (0 bytes)")
    if begin.startswith(LFS_START):
        fail(path, "lfs-pointer", f"a Git LFS pointer ({size} bytes of text), not the weights")
    if size < 8:
        fail(path, "truncated-shard", f"{size} bytes; a safetensors file begins with 8 bytes that give a length")
    length = int.from_bytes(begin[:8], "little")
    if length > MOST_HEADER_BYTES:
        fail(
            path,
            "bad-header",
            f"the first 8 bytes say that the header has {length:,} bytes; the format allows {MOST_HEADER_BYTES:,}, so "
            "this is no safetensors file",
        )
    if 8 + length > size:
        missing = 8 + length - size
        fail(
            path,
            "truncated-shard",
            f"truncated inside the header: it has {length:,} bytes, at least {missing:,} bytes are missing",
        )


def parse(path: Path, text: bytes) -> dict[str, Any]:
    """Parse the header's JSON object, refusing a key that stands twice."""
    if not text.startswith(b"{"):
        fail(path, "bad-header", "the header does not begin with {, so this is no safetensors file")
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                twice.append(key)
            found[key] = value
        return found

    try:
        content = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except UnicodeDecodeError as error:
        fail(path, "bad-header", f"the header is not UTF-8 (byte {8 + error.start} of the file)")
    except json.JSONDecodeError as error:
        fail(path, "bad-header", f"the header is not JSON: {error.msg} (byte {8 + error.pos} of the file)")
    except (ValueError, RecursionError):  # a number of thousands of digits; brackets nested thousands deep
        fail(path, "bad-header", "the header is not the JSON of a safetensors file")
    if twice:
        fail(path, "bad-header", f"the header has the same key twice: {_names(twice)}; which one counts is undefined")
    return content


def check_metadata(path: Path, entries: Any, problems: list[HeaderProblem]) -> dict[str, str]:
    """Check the free entries: texts only."""
    if isinstance(entries, dict) and all(isinstance(value, str) for value in entries.values()):
        return entries
    problems.append(HeaderProblem("bad-header", f"{path}: __metadata__ must be an object of texts"))
    return {}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOO_MANY


def check_tensor(path: Path, name: str, entry: Any, data: int, problems: list[HeaderProblem]) -> Tensor | None:
    """Check one entry; ``data`` is the byte of the file at which offset 0 lies. None when it makes no sense."""
    where = f"{path}: tensor {name!r}"

    def problem(message: str) -> None:
        problems.append(HeaderProblem("bad-header", f"{where}: {message}"))

    if not isinstance(entry, dict) or not entry.keys() >= {"dtype", "shape", "data_offsets"}:
        return problem("the entry must have dtype, shape and data_offsets")
    before = len(problems)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        known = did_you_mean(dtype[:20] if isinstance(dtype, str) else "", DTYPE_BITS, kind="dtypes", most=20)
        problem(f"unknown dtype {_short(dtype)}; {known}")
    if not isinstance(shape, list) or not all(map(_is_count, shape)):
        problem(f"shape {_short(shape)} must be a list of whole numbers, none below 0")
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(map(_is_count, offsets))
        or offsets[0] > offsets[1]
    ):
        problem(f"data_offsets {_short(offsets)} must be two whole numbers, the first not above the second")
    if len(problems) > before:
        return None
    bits = DTYPE_BITS[dtype]
    for count in shape:
        bits = min(bits * count, 16 * _TOO_MANY)  # a shape of millions of sizes must not take minutes
    held = offsets[1] - offsets[0]
    if bits != 8 * held:
        takes = f"{bits / 8:,g}" if bits % 8 else f"{bits // 8:,}"
        return problem(f"data_offsets span {held:,} bytes, but {dtype} {_short(shape)} takes {takes}")
    return Tensor(dtype, tuple(shape), data + offsets[0], data + offsets[1])


def check_layout(path: Path, tensors: dict[str, Tensor], data: int, size: int) -> Iterator[HeaderProblem]:
    """Compare the tensors' places with each other and with the file's size."""
    overlapping: list[str] = []
    after_hole: list[str] = []
    end = data
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start < end:
            overlapping.append(name)
        elif tensor.start > end:
            after_hole.append(name)
        end = max(end, tensor.end)
    if overlapping:
        yield HeaderProblem("bad-header", f"{path}: byte ranges overlap: tensor {_names(overlapping)}")
    if after_hole:
        yield HeaderProblem(
            "bad-header", f"{path}: bytes that belong to no tensor, in front of tensor {_names(after_hole)}"
        )
    if end > size:
        cut = [name for name, tensor in tensors.items() if tensor.end > size]
        yield HeaderProblem(
            "truncated-shard",
            f"{path}: truncated: {end - size:,} of {end:,} bytes are missing; "
            f"{len(cut)} of {len(tensors)} tensors are not complete: tensor {_names(cut)}",
        )
    elif end < size:
        yield HeaderProblem("trailing-bytes", f"{path}: {size - end:,} bytes stand behind the last tensor's values")


def _names(names: Sequence[str]) -> str:
    listed = ", ".join(repr(name) for name in names[:_MOST_NAMES])
    return f"{listed} and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else listed


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
