"""LLaMA-Factory's launcher with several processes: signals reach the workers, and their exit code comes back.

Stock: SIGTERM ends the launcher alone and leaves torchrun and its workers running; torchrun kills workers 30 seconds
after a SIGTERM of its own, which is less than a large checkpoint takes; and every code but 0 becomes 1.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

from .stop import RESUME_ME, STATUS_VARIABLE


class Subprocess:
    """Stands in for the module ``subprocess`` in ``llamafactory.launcher``, which calls ``subprocess.run`` only."""

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def run(self, command: list[str], *, env: dict[str, str], check: bool, **options: Any) -> Any:
        """Run torchrun as stock does; leave with 75 when the workers were asked to stop and saved."""
        descriptor, status = tempfile.mkstemp(prefix="lf-registry-status-")
        os.close(descriptor)
        env = dict(env) | {STATUS_VARIABLE: status}
        # torchrun neither dies of these two signals nor passes them on: the workers get them from here.
        env.setdefault("PET_SIGNALS_TO_HANDLE", "SIGINT,SIGHUP,SIGQUIT")
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGUSR1)}
        terminated = False
        try:
            with subprocess.Popen(command, env=env, **options) as process:

                def pass_on(number: int, frame: FrameType | None) -> None:
                    nonlocal terminated
                    terminated = terminated or number == signal.SIGTERM
                    _pass_on(process.pid, number, Path(status))

                for number in before:
                    signal.signal(number, pass_on)
                try:
                    code = process.wait()
                except BaseException:
                    process.kill()
                    raise
            done = Path(status).read_text(encoding="utf-8")
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            Path(status).unlink(missing_ok=True)
        if done == "stopped" or (terminated and not done):  # not done: not training yet, or no more
            sys.exit(RESUME_ME)
        if check and code:  # stock raises CalledProcessError: a page of traceback below the page with the reason
            print(f"lf-registry: the training ended with exit code {code}; the reason stands above", file=sys.stderr)
            sys.exit(code if code > 0 else 128 - code)
        return subprocess.CompletedProcess(command, code)


def _pass_on(torchrun: int, number: int, status: Path) -> None:
    """Send a signal to the workers while they train; before and after that, SIGUSR1 is nothing and SIGTERM the end."""
    import psutil

    if status.read_text(encoding="utf-8") != "training":
        if number == signal.SIGUSR1:
            return
        number = signal.SIGKILL  # they inherited that SIGTERM is ignored, and have nothing to save
    try:
        workers = psutil.Process(torchrun).children()
    except psutil.Error:
        return
    for worker in workers:
        try:
            worker.send_signal(number)
        except psutil.Error:
            continue
    if not workers and number == signal.SIGKILL:
        os.kill(torchrun, number)  # it has not started its workers yet
