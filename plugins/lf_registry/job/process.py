"""Running one command of a job: its output into the log, signals passed on, and no orphan left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from .log import Log

_PR_SET_PDEATHSIG = 1
#: How often the time of a stage is written down.
TICK_SECONDS = 15.0


class Stopper:
    """Whether this job was asked to stop (SIGTERM, or Ctrl-C), and the process that is told so.

    Attributes:
        asked: by which signal; 0: it was not.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals within this context. A terminal that goes away (SIGHUP) does not end a job."""
        before = {number: signal.signal(number, self._receive) for number in (signal.SIGTERM, signal.SIGINT)}
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.asked = number
        self.pass_on()

    def pass_on(self, process: subprocess.Popen[bytes] | None = None) -> None:
        """Tell the process that runs; a training saves then."""
        self._process = process or self._process
        if self.asked and self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def forget(self) -> None:
        """The process has ended."""
        self._process = None


def run(
    command: list[str], environment: dict[str, str], log: Log, stopper: Stopper, tick: Callable[[float], None]
) -> int:
    """Run a command to its end.

    The command gets a session of its own, so that Ctrl-C reaches it as the SIGTERM on which a training saves, and a
    SIGTERM when this process dies without a word (``prctl(2)``, PR_SET_PDEATHSIG).

    Args:
        command: program and arguments.
        environment: its variables.
        log: gets what it prints, and what its children print.
        stopper: passes signals on.
        tick: called now and then with the seconds since the last call.

    Returns:
        Its exit code; minus the signal that killed it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    log.last.clear()
    begun = time.monotonic()
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
            preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0),  # noqa: PLW1509 (no other thread)
        )
    finally:
        os.close(writing)
    reader = threading.Thread(target=log.copy, args=(reading,), name="lf-registry-job-log", daemon=True)
    reader.start()
    stopper.pass_on(process)
    try:
        while True:
            try:
                code = process.wait(TICK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                tick(time.monotonic() - begun)
                begun = time.monotonic()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        raise
    finally:
        stopper.forget()
    tick(time.monotonic() - begun)
    reader.join(5.0)  # what a child left behind keeps the pipe open
    return code
