"""Writing files so that nothing half-written ever looks whole."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from .errors import UserError


def write_atomically(path: Path, text: str) -> None:
    """Write UTF-8 text to a temporary name in the same folder, then rename it to ``path``.

    Raises:
        UserError: the disk is full, or the folder cannot be written; what stood at ``path`` before is untouched. The
            message speaks of this file alone: the caller may have written others.
    """
    write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write bytes as ``write_atomically`` writes text. Raises: UserError."""
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); this file is as it was") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def json_text(value: Any) -> str:
    """JSON as it stands in this project's files: two spaces, Korean as it is, a newline at the end."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def is_file(path: str | Path) -> bool:
    """Whether this is a file; also for a text that no file can have as its name, where ``Path.is_file`` raises."""
    return os.path.isfile(path)  # noqa: PTH113


def is_dir(path: str | Path) -> bool:
    """Whether this is a folder; also for a text that no folder can have as its name."""
    return os.path.isdir(path)  # noqa: PTH112
