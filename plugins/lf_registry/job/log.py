"""The job's log: one file over all runs of a job, and the same on the terminal."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from pathlib import Path

from ..errors import UserError


class Log:
    """Writes to the log file and to stdout; neither a full disk nor a terminal that went away stops the job.

    Attributes:
        path: the file.
        last: the last lines of the stage that runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last: deque[str] = deque(maxlen=12)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UserError(
                f"{path}: the log cannot be written ({error.strerror})", hint="make room, or name another output_dir"
            ) from None

    def say(self, text: str, stage: str = "job") -> None:
        """Write a line of the job's own, with time and stage."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        for line in text.splitlines():
            self.write(f"[{stamp}Z] {stage}: {line}\n".encode())

    def write(self, content: bytes) -> None:
        """Write bytes as they are."""
        try:
            if self._file is not None:
                os.write(self._file, content)
        except OSError as error:
            self._file = None
            self.write(f"[the log {self.path} ends here: {error.strerror}]\n".encode())
        try:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        except (OSError, ValueError):
            return

    def copy(self, pipe: int) -> None:
        """Write what a process prints, until it and its children have closed the pipe."""
        rest = b""
        while content := os.read(pipe, 1 << 16):
            self.write(content)
            *lines, rest = (rest + content).replace(b"\r", b"\n").split(b"\n")
            self.last.extend(text for line in lines if (text := line.decode(errors="replace").rstrip()))
            rest = rest[-4096:]
        if rest:
            self.last.append(rest.decode(errors="replace"))
            self.write(b"\n")
