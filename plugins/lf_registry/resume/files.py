"""Whether a file of a checkpoint is whole, as far as that can be told without reading the weights."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from ..errors import UserError
from ..tensors import BadTensorFile, is_lfs_pointer, read_header

#: What ``torch.save`` writes by default is a zip archive; it begins with this.
_ZIP = b"PK\x03\x04"
#: What ``torch.save`` wrote before that, and writes on request, is a pickle, which has no table of contents.
_PICKLE = b"\x80"


def damage(path: Path) -> str | None:
    """What is wrong with one file, None when nothing is seen.

    A safetensors file: its header, and its size against the header. A file of ``torch.save``: that the table at the end
    of the archive is there and names places inside the file, which a file that was cut off does not have. Bytes that
    were changed in the middle are not seen: that would take reading every checkpoint whole at every start.

    Raises:
        UserError: the file cannot be read at all (permissions, a volume that does not answer): then nothing is known.
    """
    try:
        with path.open("rb") as stream:
            begin = stream.read(4)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}), so it is not known whether the checkpoint is whole",
            hint="make the file readable, or name another output_dir",
        ) from None
    if not begin and path.suffix in (".safetensors", ".pt", ".pth", ".bin", ".json"):
        return "is empty"
    if path.suffix == ".safetensors":
        return _tensors(path)
    if path.suffix in (".pt", ".pth", ".bin"):
        return _archive(path, begin)
    if path.suffix == ".json":
        return _json(path)
    return None


def _tensors(path: Path) -> str | None:
    try:
        read_header(path)
    except BadTensorFile as error:
        return error.problems[0].removeprefix(f"{path}: ")
    return None


def _archive(path: Path, begin: bytes) -> str | None:
    if begin[:1] == _PICKLE:
        return None
    if begin != _ZIP:
        return "is not a Git LFS download but its pointer" if is_lfs_pointer(path) else "is not a file of torch.save"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return f"is cut off ({path.stat().st_size:,} bytes, without the table at its end)"
    return None if names else "holds nothing"


def _json(path: Path) -> str | None:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError):
        return "is not whole JSON"
    return None
