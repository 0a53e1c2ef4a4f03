"""A merge that is stopped leaves the old model or nothing; the next one cleans up. LF_REGISTRY_SOAK: how many kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lf_registry.errors import UserError
from lf_registry.merge import safe
from lf_registry.merge.resolve import Request
from lf_registry.merge.run import run_merge
from merge_models import load, peft_merged, same, save_adapter

KILLS = int(os.environ.get("LF_REGISTRY_SOAK", "3"))
#: Runs a merge with the reading slowed down, so that there is time to be killed in; says when it begins to write.
SLOW = """
import sys, time
from lf_registry.merge import worker, stream, run
from lf_registry.merge.resolve import Request
from pathlib import Path
read = worker.read_into
def slow(*arguments):
    time.sleep(0.04)
    return read(*arguments)
worker.read_into = slow
print("ready", flush=True)
request = Request((sys.argv[1],), Path(sys.argv[2]), base=sys.argv[3])
run.run_merge(request, verify="tensors", overwrite=True, show=False)
"""


@pytest.fixture(scope="module")
def pair(bases, tmp_path_factory):
    base = bases("llama", "bf16", "100KB")
    return base, save_adapter(base, tmp_path_factory.mktemp("killed") / "adapter", target_modules="all-linear")


def start(pair, out: Path) -> subprocess.Popen:
    base, adapter = pair
    process = subprocess.Popen([sys.executable, "-c", SLOW, adapter, out, base], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    return process


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "adapter")


@pytest.mark.parametrize("before", [False, True], ids=["nothing-there", "a-model-there"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["kill", "term", "ctrl-c"])
def test_a_stopped_merge_leaves_the_old_model_or_nothing(pair, tmp_path, number, before):
    base, adapter = pair
    out = tmp_path / "out"
    if before:
        out.mkdir()
        (out / "config.json").write_text("old")
    source = random.Random(number)
    for _ in range(KILLS if number == signal.SIGKILL else 1):
        process = start(pair, out)
        time.sleep(source.random() * 0.7)
        process.send_signal(number)
        process.communicate()
        if process.returncode == 0:  # it was quicker
            break
        names = [name for name in left(tmp_path) if not name.startswith(".out.merging-")]
        assert names == (["out"] if before or out.exists() else [])
        if out.exists() and (out / "config.json").read_text() != "old":
            assert json.loads((out / "merge_report.json").read_text())["verified"] == "tensors", "or a whole one"
        if number != signal.SIGKILL:
            assert left(tmp_path) == names, "stopped by a signal that can be caught, it cleans up by itself"
    result = run_merge(Request((str(adapter),), out, base=str(base)), verify="tensors", overwrite=True, show=False)
    assert left(tmp_path) == ["out"]
    same(load(result.out).state_dict(), peft_merged(base, adapter))


def test_leftovers_are_named(pair, tmp_path):
    base, adapter = pair
    (tmp_path / ".out.merging-old").mkdir()
    (tmp_path / ".other.merging-old").mkdir()
    result = run_merge(Request((str(adapter),), tmp_path / "out", base=str(base)), verify="none", show=False)
    assert any("removed" in note and ".out.merging-old" in note for note in result.notes)
    assert left(tmp_path) == [".other.merging-old", "out"]


def test_two_merges_into_one_folder(pair, tmp_path):
    process = start(pair, tmp_path / "out")
    try:
        for _ in range(200):
            if list(tmp_path.glob(".out.merging-*/*")):  # with something in it: from then on it is locked
                break
            time.sleep(0.02)
        with pytest.raises(UserError, match="another merge into this folder is running"):
            safe.clean_leftovers(tmp_path / "out")
    finally:
        process.kill()
        process.communicate()


def test_a_folder_that_is_taken_for_a_leftover_before_it_is_locked(tmp_path, monkeypatch):
    lock, taken = safe.fcntl.flock, []

    def late(descriptor, operation):
        if not taken:
            taken.append(True)
            safe.clean_leftovers(tmp_path / "out")
        lock(descriptor, operation)

    monkeypatch.setattr(safe.fcntl, "flock", late)
    with safe.temporary_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("is written")
    assert left(tmp_path) == []


def test_a_file_system_that_cannot_swap(pair, tmp_path, monkeypatch):
    base, adapter = pair
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    monkeypatch.setattr(safe.ctypes, "CDLL", lambda *arguments, **options: object())
    run_merge(Request((str(adapter),), tmp_path / "out", base=str(base)), verify="none", overwrite=True, show=False)
    assert left(tmp_path) == ["out"] and (tmp_path / "out" / "merge_report.json").exists()


def test_a_swap_that_was_stopped_in_the_middle_is_undone(tmp_path):
    (tmp_path / ".out.before-merge").mkdir()
    assert any("put" in note for note in safe.clean_leftovers(tmp_path / "out"))
    assert left(tmp_path) == ["out"]


def test_a_source_that_becomes_shorter_while_it_is_read(pair, tmp_path, monkeypatch):
    import shutil

    from lf_registry.merge import stream

    base = Path(shutil.copytree(pair[0], tmp_path / "base"))
    write = stream.write

    def shortened(*arguments, **options):
        for path in base.glob("*.safetensors"):
            os.truncate(path, 1000)
        return write(*arguments, **options)

    monkeypatch.setattr(stream, "write", shortened)
    with pytest.raises(UserError, match="became shorter"):
        run_merge(Request((str(pair[1]),), tmp_path / "out", base=str(base)), verify="none", show=False)
    assert left(tmp_path) == ["base"]
