"""Read safetensors headers: names, types and places of the tensors, without loading a weight and without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .safetensors_format import (
    LFS_START,
    BadTensorFile,
    HeaderProblem,
    Tensor,
    check_begin,
    check_layout,
    check_metadata,
    check_tensor,
    fail,
    parse,
)

__all__ = ["BadTensorFile", "Header", "HeaderProblem", "Tensor", "is_lfs_pointer", "read_header"]


@dataclass(frozen=True)
class Header:
    """What stands in front of the weights of a safetensors file.

    Attributes:
        path: the file.
        size: the file's size in bytes.
        tensors: name -> tensor, in the order of the header.
        metadata: free text entries, usually ``{"format": "pt"}``.
    """

    path: Path
    size: int
    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def is_lfs_pointer(path: Path) -> bool:
    """Whether the file is the text that Git LFS leaves in place of a large file (about 130 bytes)."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(LFS_START)) == LFS_START
    except OSError:
        return False


def read_header(path: str | Path) -> Header:
    """Read and check the header of a safetensors file. No weight is read; the file's size is compared with the header.

    A file begins with the length of the JSON (8 bytes, little-endian), then the JSON, then the values of all tensors
    without gaps. Source: the safetensors format description.

    Raises:
        BadTensorFile: a ``UserError`` with all problems of the file, each naming the file and the tensor.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            begin = stream.read(max(8, len(LFS_START)))
            check_begin(path, begin, size)
            length = int.from_bytes(begin[:8], "little")
            stream.seek(8)
            text = stream.read(length)
    except OSError as error:
        fail(path, "unreadable-file", f"cannot be read ({error.strerror or error})")
    content = parse(path, text)
    problems: list[HeaderProblem] = []
    metadata = check_metadata(path, content.pop("__metadata__", {}), problems)
    tensors: dict[str, Tensor] = {}
    for name, entry in content.items():
        tensor = check_tensor(path, name, entry, 8 + length, problems)
        if tensor is not None:
            tensors[name] = tensor
    if len(tensors) == len(content):  # with an unreadable entry every gap would be reported a second time
        problems += check_layout(path, tensors, 8 + length, size)
    if problems:
        raise BadTensorFile(problems)
    return Header(path, size, tensors, metadata)
