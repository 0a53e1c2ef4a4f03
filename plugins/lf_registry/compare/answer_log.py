"""The answers as they come: a file that is only appended to, so that a run that was cut off goes on."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError

FILE = "generated.jsonl"
#: Changes when a later version could not go on with an earlier version's file.
_FORMAT = 1


class AnswerLog:
    """What was generated: one JSON object a line, the settings in the first line.

    Attributes:
        path: the file.
        entries: (what, side, prompt's number) -> the line's values.
        timings: one entry per batch, in order.
    """

    def __init__(self, path: Path, stream: Any) -> None:
        self.path, self._stream = path, stream
        self.entries: dict[tuple[str, str, int], dict[str, Any]] = {}
        self.timings: list[dict[str, Any]] = []

    def of(self, what: str, side: str) -> dict[int, dict[str, Any]]:
        """The entries of one kind and side, by the prompt's number."""
        return {index: entry for (kind, whose, index), entry in self.entries.items() if (kind, whose) == (what, side)}

    def append(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Add entries and see them on the disk before going on.

        Raises:
            UserError: they cannot be written.
        """
        lines = []
        for entry in entries:
            self._take(dict(entry))
            lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
        _write(self._stream, self.path, "".join(lines))

    def _take(self, entry: dict[str, Any]) -> None:
        if entry["kind"] == "batch":
            self.timings.append(entry)
        else:
            self.entries[entry["kind"], entry["side"], entry["index"]] = entry


@contextmanager
def answer_log(folder: Path, settings: Mapping[str, Any], *, overwrite: bool = False) -> Iterator[AnswerLog]:
    """Open the log of a folder, go on where it ends, and keep other processes out.

    A last line that was cut off (the process was killed while it wrote) is removed and made again.

    Args:
        folder: created when missing.
        settings: what decides the answers; flat, so that a difference can be named.
        overwrite: start over, whatever is there.

    Raises:
        UserError: the answers there were made with other settings, the file is damaged, or another process has it.
    """
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = path.open("ab+", buffering=0)  # a buffer that did not fit would be written again at the end, and fail
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{path}: another `lf-registry compare` is writing here", hint="wait for it") from None
        if overwrite:
            stream.truncate(0)
        log = AnswerLog(path, stream)
        lines = _whole_lines(stream)
        if lines:
            _same_settings(path, _parsed(path, 1, lines[0]), settings)
            for number, line in enumerate(lines[1:], 2):
                log._take(_parsed(path, number, line))
        else:
            first = {"kind": "settings", "format": _FORMAT, "settings": dict(settings)}
            _write(stream, path, json.dumps(first, ensure_ascii=False) + "\n")
        yield log


def _write(stream: Any, path: Path, text: str) -> None:
    """All of it, and onto the disk."""
    rest = memoryview(text.encode())
    try:
        while rest:
            rest = rest[stream.write(rest) :]
        os.fsync(stream.fileno())
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror})", hint="make room, then the same command goes on"
        ) from None


def _whole_lines(stream: Any) -> list[bytes]:
    stream.seek(0)
    text = stream.read()
    end = text.rfind(b"\n") + 1
    if end < len(text):
        stream.truncate(end)
    return text[:end].splitlines()


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
        if isinstance(value, dict) and (value["kind"] in ("settings", "batch") or {"side", "index"} <= set(value)):
            return value
    except (ValueError, KeyError):
        pass
    raise UserError(f"{path}, line {number}: is damaged", hint="--overwrite asks everything again; or remove the line")


def _same_settings(path: Path, first: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    before = first.get("settings") if first.get("format") == _FORMAT else None
    if not isinstance(before, dict):
        raise UserError(f"{path}: was written by another version", hint="--overwrite starts over; or another --out")
    now = json.loads(json.dumps(dict(settings)))
    changed = [key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key)]
    if changed:
        raise UserError(
            [f"{path}: {key} was {_shown(before.get(key))}, is now {_shown(now.get(key))}" for key in changed],
            hint="the answers there do not belong to this comparison: --overwrite starts over; or another --out",
        )


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
