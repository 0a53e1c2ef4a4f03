"""The quick end of a command that has imported torch loses nothing: threads, exit handlers, output, the exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("imports", ["", "import torch"])
@pytest.mark.parametrize("code", [0, 3])
def test_nothing_is_lost(imports: str, code: int):
    script = SCRIPT.format(imports=imports, code=code)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "main\nthread\nhandler\n", "")


def test_python_does_not_take_torch_apart():
    script = "import torch, sys\nfrom lf_registry.leave import leave\n"
    script += "class Last:\n    def __del__(self): print('taken apart', flush=True)\nlast = Last()\nleave(0)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_a_closed_pipe_is_an_error():
    command = f"{sys.executable} -c 'import torch; from lf_registry.leave import leave; print(1); leave(0)'"
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | true"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode != 0
