"""A lock that a killed build left: every start with DeepSpeed would wait for it for ever."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lf_registry.resume import builds

BUILD = """
import sys, time
from torch.utils.file_baton import FileBaton
assert FileBaton(sys.argv[1]).try_acquire()
print("builds", flush=True)
time.sleep(100)
"""


@pytest.fixture
def building(tmp_path):
    folder = tmp_path / "py3_cpu" / "cpu_adam"
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", BUILD, str(folder / "lock")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "builds\n"
    yield tmp_path, folder, process
    process.kill()
    process.wait()


def test_the_lock_of_a_killed_build_is_removed_and_that_of_a_living_one_is_not(building):
    """PyTorch's own lock, as ``torch.utils.cpp_extension`` takes it."""
    root, folder, process = building
    assert builds.release_abandoned(root) == [] and (folder / "lock").exists()
    process.kill()
    process.wait()
    assert builds.release_abandoned(root, nodes=2) == [], "on another node somebody may be building"
    assert builds.release_abandoned(root) == [folder] and not (folder / "lock").exists()
    (folder / "lock").touch()
    os.utime(folder / "lock", (0, 0))
    assert builds.release_abandoned(root, nodes=2) == [folder]


def test_where_pytorch_builds(monkeypatch, tmp_path):
    from torch.utils.cpp_extension import get_default_build_root

    monkeypatch.delenv("TORCH_EXTENSIONS_DIR", raising=False)
    assert str(builds.root().resolve()) == get_default_build_root()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    assert builds.root() == tmp_path and builds.release_abandoned() == []
