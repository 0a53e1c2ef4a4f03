"""The quick end of a command that has imported torch loses nothing: threads, exit handlers, output, the exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from lf_registry import cli, interrupt

SCRIPT = """
import atexit, sys, threading, time
{imports}
from lf_registry.leave import leave
sys.stdout.reconfigure(line_buffering=False)
atexit.register(print, "handler")
def late():
    time.sleep(0.2)
    print("thread")
threading.Thread(target=late).start()
print("main", end="\\n")
leave({code})
"""


@pytest.mark.parametrize("imports", ["", "import torch", "from lf_registry.merge import aten; aten.load_early()"])
@pytest.mark.parametrize("code", [0, 3])
def test_nothing_is_lost(imports: str, code: int):
    script = SCRIPT.format(imports=imports, code=code)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "main\nthread\nhandler\n", "")


@pytest.mark.parametrize("imports", ["import torch", "from lf_registry.merge import aten"])
def test_python_does_not_take_torch_apart(imports: str):
    script = f"{imports}\nfrom lf_registry.leave import leave\n"
    script += "class Last:\n    def __del__(self): print('taken apart', flush=True)\nlast = Last()\nleave(0)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_a_closed_pipe_is_an_error():
    command = f"{sys.executable} -c 'import torch; from lf_registry.leave import leave; print(1); leave(0)'"
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | true"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode != 0


LEAVE = "from lf_registry.leave import leave; leave(0)"


@pytest.mark.parametrize(
    ("code", "ignored", "expected"),
    [
        ("from lf_registry.cli import main", False, 130),  # among its imports is the one below
        ("from lf_registry.cli import main", True, 0),  # nohup
        ("def app(prog_name): raise KeyboardInterrupt\nfrom lf_registry.leave import run; run(app, 'x')", False, 130),
        (f"import atexit\natexit.register(os.kill, os.getpid(), 2)\n{LEAVE}", False, -2),
    ],
    ids=["importing", "ignored", "outside-of-typer", "at-its-end"],
)
def test_ctrl_c_ends_a_command_without_a_traceback(tmp_path, code, ignored, expected):
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nos._exit(0)\n")
    ended = subprocess.run(
        [sys.executable, "-c", f"import os, sys\nsys.path.insert(0, {str(tmp_path)!r})\n{code}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler),
        env=os.environ,
    )
    assert (ended.returncode, ended.stderr) == (expected, "")


def test_who_imports_the_command_keeps_ctrl_c():
    assert cli.app is not None and signal.getsignal(signal.SIGINT) is not interrupt._end
