"""How a run is asked to save or to stop, and how it says that it should be resumed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from ..files import json_text, write_atomically

#: ``EX_TEMPFAIL`` of sysexits.h, "try again": the run saved, stopped because it was asked to, and can be resumed.
RESUME_ME = 75
#: In the output folder while a stopped run waits to be resumed; it says at which step and why.
MARK = ".resume-me"
#: A file of this name in the output folder saves a checkpoint at the next step.
TRIGGER = "SAVE"
#: The file by which the workers tell the launcher that started them how far they are.
STATUS_VARIABLE = "LF_REGISTRY_STATUS_FILE"
#: What a process asks for; the highest of all processes is done.
NOTHING, SAVE, STOP = 0, 1, 2


class Requests:
    """What this process was asked for, by signals and by the trigger file."""

    def __init__(self) -> None:
        self.pending = NOTHING
        self._before: dict[int, Any] = {}
        self._process = os.getpid()
        self._looked = 0.0
        self._triggered = False

    def listen(self) -> None:
        """Take SIGUSR1 (save) and SIGTERM (save and stop) until ``silence``."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python sets signal handlers in the main thread only; the trigger file works everywhere
        for number in (signal.SIGUSR1, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._receive)

    def silence(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        inherited = os.getpid() != self._process  # a process that this one forked, for example to load data
        if number == signal.SIGTERM and (inherited or a_sibling_is_dead()):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not inherited:
            self.pending = max(self.pending, STOP if number == signal.SIGTERM else SAVE)

    def take(self, folder: Path | None) -> int:
        """What is asked for now. A signal counts once.

        Args:
            folder: where to look for the trigger file (at most once a second); None in processes that do not.
        """
        asked, self.pending = self.pending, NOTHING
        if folder is not None and not self._triggered and time.monotonic() - self._looked > 1:
            self._looked = time.monotonic()
            self._triggered = (folder / TRIGGER).exists()
            if self._triggered:
                asked = max(asked, SAVE)
        return asked

    def answered(self, folder: Path) -> None:
        """Take the trigger file away once the checkpoint is written; until then it counts once."""
        (folder / TRIGGER).unlink(missing_ok=True)
        self._triggered = False


def a_sibling_is_dead() -> bool:
    """Whether a process of this run on this node is gone: then no step can end, and waiting for one would be for ever.

    torchrun sends SIGTERM to the others when one process fails.
    """
    expected = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if expected == 1:
        return False
    import psutil

    try:
        children = psutil.Process(os.getppid()).children()
        alive = sum(child.status() != psutil.STATUS_ZOMBIE for child in children)
    except psutil.Error:
        return False
    return alive < expected


def mark(folder: Path, step: int) -> None:
    """Leave ``.resume-me`` in the output folder.

    Raises:
        UserError: it cannot be written.
    """
    write_atomically(folder / MARK, json_text({"step": step, "checkpoint": f"checkpoint-{step}", "time": time.time()}))


def marked(folder: str | Path) -> dict[str, Any] | None:
    """What ``.resume-me`` says; None when the folder has none."""
    try:
        return json.loads((Path(folder) / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def unmark(folder: Path) -> None:
    """Remove ``.resume-me``."""
    (folder / MARK).unlink(missing_ok=True)


def tell_launcher(status: str) -> bool:
    """Tell the launcher that started this process: ``training``, ``stopped``, or nothing (not yet, or no more).

    Returns:
        Whether there is such a launcher.
    """
    path = os.environ.get(STATUS_VARIABLE)
    if not path:
        return False
    Path(path).write_text(status, encoding="utf-8")
    return True
