"""``hardware_log.jsonl``: one JSON object a line, appended to by every start of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class LogWriter:
    """Appends lines, each in one piece, so that a killed run loses at most the last one.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("ab", buffering=0)
        if not _ends_with_newline(path):
            self._stream.write(b"\n")  # what a killed run left half-written stays a line of its own

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one line. Raises: OSError."""
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        while line:
            line = line[self._stream.write(line) :]  # a full disk takes a part, then raises

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        if size == 0:
            return True
        stream.seek(size - 1)
        return stream.read(1) == b"\n"


def read_log(path: Path) -> tuple[list[dict[str, Any]], int]:
    """(the rows, how many lines are not whole); nothing when there is no such file."""
    rows, broken = [], 0
    if not path.is_file():
        return rows, broken
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            broken += 1
            continue
        if isinstance(row, dict) and "time" in row:
            rows.append(row)
        else:
            broken += 1
    return rows, broken
