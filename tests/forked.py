"""Processes that begin with the libraries imported: real ones, with signals and exit codes, without half a second each.

``start`` and ``run`` are what ``subprocess.Popen`` and ``subprocess.run`` are for ``python -c CODE``. They come from
Python's own fork server, which imports what a client of the Hub needs once in a test process.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing import forkserver, get_context
from pathlib import Path

#: Not hf_xet: its native part reads its environment when it is imported.
IMPORTS = ("httpx", "jinja2", "xxhash", "yaml", "huggingface_hub.hf_api", "huggingface_hub.repocard")
OURS = ("lf_registry.cli", "lf_registry.publish.command", "lf_registry.publish.run")

_LOCK = threading.Lock()
_SERVER: list[bool] = []


class Forked:
    """A process, as far as tests use ``subprocess.Popen``; its output is text."""

    def __init__(self, code: str, arguments: tuple[str, ...], env: Mapping[str, str]):
        _serve(env)
        self._output = tempfile.TemporaryDirectory(prefix="forked-")
        self._paths = [Path(self._output.name, name) for name in ("out", "err")]
        options = {"args": (code, arguments, dict(env), str(Path.cwd()), *map(str, self._paths))}
        self._process = get_context("forkserver").Process(target=_child, **options)
        self._process.start()
        self.pid = self._process.pid
        self.returncode: int | None = None

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        self.returncode = self._process.exitcode
        if self.returncode is None:
            self.kill()
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout, *map(_read, self._paths))
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        self.wait(timeout)
        out, err = map(_read, self._paths)
        self._output.cleanup()
        return out, err

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def start(code: str, *arguments: object, env: Mapping[str, str]) -> Forked:
    """Start ``code`` with ``sys.argv[1:]`` as given, in exactly this environment, in the current folder."""
    return Forked(code, tuple(map(str, arguments)), env)


def run(code: str, *arguments: object, env: Mapping[str, str], timeout: float = 300) -> subprocess.CompletedProcess:
    """The same, waited for."""
    process = start(code, *arguments, env=env)
    out, err = process.communicate(timeout)
    return subprocess.CompletedProcess([code, *map(str, arguments)], process.returncode, out, err)


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def _serve(env: Mapping[str, str]) -> None:
    """Start the server, once, in the environment of its first process: what is imported there sees that one."""
    with _LOCK:
        if _SERVER:
            return
        before = dict(os.environ)
        try:
            os.environ.clear()
            paths = [str(Path(__file__).parent), *filter(None, [before.get("PYTHONPATH")])]
            os.environ.update({**env, "PYTHONPATH": os.pathsep.join(paths)})
            forkserver.set_forkserver_preload(["forked_imports"])
            forkserver.ensure_running()
        finally:
            os.environ.clear()
            os.environ.update(before)
        _SERVER.append(True)


def _child(code: str, arguments: tuple[str, ...], env: dict[str, str], folder: str, *output: str) -> None:
    for number, path in enumerate(output, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What reads the environment when it is imported reads this one.
    constants = importlib.reload(importlib.import_module("huggingface_hub.constants"))
    importlib.import_module("huggingface_hub.hf_api").api.endpoint = constants.ENDPOINT
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})
