"""Requests to save and to stop, and the launcher that passes them on: the parts, without a training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lf_registry.resume import stop

#: Starts two processes that listen, as torchrun does; each prints its number and then what it was asked for.
PAIR = """
import os, signal, subprocess, sys, time
code = '''
import os, sys, time
from lf_registry.resume.stop import Requests
requests = Requests()
requests.listen()
os.write(1, f"{os.getpid()}{os.linesep}".encode())
while True:
    asked = requests.take(None)
    if asked:
        os.write(1, f"asked {asked}{os.linesep}".encode())
    time.sleep(0.01)
'''
children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
for line in sys.stdin:
    print([child.returncode for child in children], flush=True)
"""


@pytest.fixture
def pair():
    process = subprocess.Popen(
        [sys.executable, "-c", PAIR],
        env=os.environ | {"LOCAL_WORLD_SIZE": "2"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = [int(process.stdout.readline()) for _ in range(2)]
    yield process, pids
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as stream:  # noqa: PTH123
        return stream.read().rsplit(")", 1)[1].split()[0]


def until_dead(pid: int) -> None:
    until = time.monotonic() + 30
    while state(pid) != "Z":
        assert time.monotonic() < until
        time.sleep(0.01)


def test_signals_are_requests_while_all_processes_live(pair):
    process, pids = pair
    os.kill(pids[0], signal.SIGUSR1)
    assert process.stdout.readline() == f"asked {stop.SAVE}\n"
    os.kill(pids[1], signal.SIGTERM)
    assert process.stdout.readline() == f"asked {stop.STOP}\n"
    assert all(state(pid) != "Z" for pid in pids)


def test_sigterm_kills_when_another_process_is_dead(pair):
    """torchrun ends the others so when one fails; with a step that cannot end, waiting for it would take for ever."""
    _, pids = pair
    os.kill(pids[0], signal.SIGKILL)
    until_dead(pids[0])
    os.kill(pids[1], signal.SIGTERM)
    until_dead(pids[1])


def test_a_forked_process_does_not_inherit_the_request(tmp_path):
    requests = stop.Requests()
    requests.listen()
    try:
        ready, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(tell, b"x")  # a signal in the middle of the fork itself would be nobody's
            time.sleep(60)
            os._exit(3)
        os.read(ready, 1)
        os.kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
        assert requests.take(tmp_path) == stop.NOTHING
        os.kill(os.getpid(), signal.SIGUSR1)
        assert (requests.take(None), requests.take(None)) == (stop.SAVE, stop.NOTHING)
    finally:
        requests.silence()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_trigger_counts_once_however_long_the_save_takes(tmp_path, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(stop.time, "monotonic", lambda: next(clock))
    requests = stop.Requests()
    assert requests.take(tmp_path) == stop.NOTHING
    (tmp_path / "SAVE").touch()
    assert [requests.take(tmp_path) for _ in range(3)] == [stop.SAVE, stop.NOTHING, stop.NOTHING]
    requests.answered(tmp_path)
    assert not (tmp_path / "SAVE").exists() and requests.take(tmp_path) == stop.NOTHING
    (tmp_path / "SAVE").touch()
    assert requests.take(tmp_path) == stop.SAVE


#: What the launcher starts: a process with one child that reports a status, or none, and waits to be signalled.
TORCHRUN = """
import subprocess, sys
code = '''
import os, signal, sys, time
status = sys.argv[1]
def stopped(*arguments):
    open(os.environ["LF_REGISTRY_STATUS_FILE"], "w").write("stopped")
    sys.exit(0)
if status == "training":
    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGUSR1, lambda *arguments: os.write(1, b"save" + os.linesep.encode()))
    open(os.environ["LF_REGISTRY_STATUS_FILE"], "w").write("training")
os.write(1, os.environ["PET_SIGNALS_TO_HANDLE"].encode() + os.linesep.encode())
time.sleep(0 if status == "fails" else 60)
sys.exit(status == "fails")
'''
child = subprocess.Popen([sys.executable, "-c", code, sys.argv[1]])
sys.exit(abs(child.wait()))
"""
LAUNCH = """
import os, sys
from lf_registry.resume.launch import Subprocess
Subprocess().run([sys.executable, "-c", sys.argv[1], sys.argv[2]], env=dict(os.environ), check=True)
"""


@pytest.mark.parametrize("everybody", [False, True], ids=["launcher-only", "whole-group"])
@pytest.mark.parametrize(("status", "code"), [("training", 75), ("begins", 75)])
def test_sigterm_through_the_launcher(status, code, everybody):
    process = launch(status)
    assert process.stdout.readline() == "SIGINT,SIGHUP,SIGQUIT\n"
    if status == "training":
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "save\n"
    send = os.killpg if everybody else os.kill
    send(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code and errors == ""


def test_a_failure_keeps_its_code_and_its_last_words():
    process = launch("fails")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == "lf-registry: the training ended with exit code 1; the reason stands above\n"


def launch(status: str) -> subprocess.Popen:
    command = [sys.executable, "-c", LAUNCH, TORCHRUN, status]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


#: A worker that says that it trains, and saves or stops when asked; no torch in it.
WORKER = """
import os, sys, time
from pathlib import Path
from lf_registry.resume import stop
requests = stop.Requests()
requests.listen()
rank = os.environ["LOCAL_RANK"]
Path(sys.argv[1], rank).touch()
while len(os.listdir(sys.argv[1])) < 2:
    time.sleep(0.01)
if rank == "0":
    stop.tell_launcher("training")
    print("training", flush=True)
while (asked := requests.take(None)) != stop.STOP:
    if asked:
        os.write(1, b"saved\\n")  # whole: torchrun's Python does not buffer, and the other worker writes too
    time.sleep(0.01)
time.sleep(0.5)
if rank == "0":
    stop.tell_launcher("stopped")
"""


@pytest.mark.parametrize("everybody", [False, True], ids=["launcher-only", "whole-group"])
def test_sigterm_through_the_real_torchrun(tmp_path, everybody):
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "ready").mkdir()
    code = "import os, sys; from lf_registry.resume.launch import Subprocess\n"
    code += "Subprocess().run(sys.argv[1:], env=dict(os.environ), check=True)"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *torchrun, str(tmp_path / "worker.py"), str(tmp_path / "ready")],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGUSR1)
        assert [process.stdout.readline() for _ in range(2)] == ["saved\n"] * 2, "both workers are asked"
        (os.killpg if everybody else os.kill)(process.pid, signal.SIGTERM)
        assert process.wait(timeout=120) == stop.RESUME_ME
    finally:
        if process.poll() is None:
            for one in (*psutil.Process(process.pid).children(recursive=True), process):
                one.kill()  # torchrun's workers have sessions of their own
        process.communicate()
