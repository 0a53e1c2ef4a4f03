"""A process of the fork server is what a new interpreter would be, as far as the tests of the command look at it."""

from __future__ import annotations

import signal
import subprocess

import pytest

import forked

LOOK = """
import os, sys
from huggingface_hub import HfApi, constants, hf_api
print(sys.argv, os.getcwd(), constants.HF_HOME, HfApi().endpoint == hf_api.api.endpoint == os.environ["HF_ENDPOINT"])
print(constants.HF_HUB_DISABLE_XET, sorted(name for name in os.environ if name.startswith("MINE_")))
print("가", file=sys.stderr)
sys.exit(3)
"""


@pytest.mark.parametrize("mode", ["lfs", "xet"])
def test_it_has_its_own_words_environment_folder_and_output(hub, tmp_path, monkeypatch, mode):
    monkeypatch.chdir(tmp_path)
    done = forked.run(LOOK, "가 나", tmp_path, env=hub.env(mode) | {f"MINE_{mode}": "1"})
    words = ["-c", "가 나", str(tmp_path)]
    home = str(hub.state.folder / "home")
    assert done.stdout == f"{words} {tmp_path} {home} True\n{mode == 'lfs'} ['MINE_{mode}']\n"
    assert (done.returncode, done.stderr) == (3, "가\n")


def test_it_does_not_import_what_is_there_already(hub):
    code = f"import sys; print([name for name in {[*forked.IMPORTS, *forked.OURS]} if name not in sys.modules])"
    assert forked.run(code, env=hub.env()).stdout == "[]\n"


WAIT = "import time\nprint('begun', flush=True)\ntime.sleep(600)"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 1), (signal.SIGTERM, -15)])
def test_it_takes_signals(hub, number, code):
    process = forked.start(f"import os, signal\nos.kill(os.getpid(), {int(number)})\n{WAIT}", env=hub.env())
    assert process.wait(timeout=120) == code
    process.send_signal(number)  # it is gone, and so is nothing else
    error = process.communicate(timeout=120)[1]
    assert ("KeyboardInterrupt" in error) == (number == signal.SIGINT)


def test_one_that_does_not_end_is_ended(hub):
    process = forked.start(WAIT, env=hub.env())
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.1)
    process._process.join(120)
    assert process._process.exitcode == -signal.SIGKILL
