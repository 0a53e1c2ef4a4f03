"""``lf-registry doctor``: what it finds on machines that are not well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from lf_registry import cgroup, cli
from lf_registry.cuda import too_old, torch_cuda
from lf_registry.doctor.disks import GIB, Place, check_places, check_pod, check_shm, look, places
from lf_registry.doctor.gpus import gpus
from lf_registry.doctor.page import Section, findings
from lf_registry.doctor.plugin import plugin, start_child
from lf_registry.doctor.registry import registry
from lf_registry.doctor.text import page_json, page_text
from lf_registry.doctor.versions import read_lock, versions
from lf_registry.templates import load_templates

POD = {"RUNPOD_POD_ID": "x"}


def codes(section: Section) -> list[str]:
    return [f"{found.severity} {found.code}" for found in findings([section])]


@pytest.fixture
def doctor(capfd, monkeypatch):
    """Run ``lf-registry doctor``; returns (exit code, stdout)."""

    def run(*arguments: str, **environment: str) -> tuple[int, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["lf-registry", "doctor", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, capfd.readouterr().out

    monkeypatch.delenv("RUNPOD_POD_ID", raising=False)
    return run


def test_this_machine(doctor):
    code, out = doctor()
    assert code == 0, out
    for text in (
        "llamafactory     0.9.5",
        "/dev/shm",
        "HF_HOME",
        f"templates  {len(load_templates())} found",
        "plugin active, ",
    ):
        assert text in out
    assert "nothing here will break a run" in out and out.endswith("next: lf-registry check RECIPE\n")


def test_as_json(doctor):
    code, out = doctor("--json")
    page = json.loads(out)
    assert code == 0 and page["version"] == 1 and page["errors"] == 0
    assert len(page["findings"]) == page["warnings"] >= 1
    assert all(found["fix"] and found["message"] for found in page["findings"])
    assert list(page["sections"]) == ["versions", "GPU", "memory and disk", "registry", "plugin", "Hugging Face Hub"]


def test_a_problem_is_exit_code_1_with_what_to_do(doctor, tmp_path, project):
    project("templates/mine.yaml", "name: mine\n")
    code, out = doctor("--output", str(tmp_path), LF_REGISTRY_WATCH="often", LF_REGISTRY_DISABLE="1")
    assert code == 1
    assert "3 errors that will break a run" in out
    assert "    fix: unset LF_REGISTRY_DISABLE\n" in out
    assert "    fix: export LF_REGISTRY_WATCH=1\n" in out
    assert "mine.yaml: user and assistant: missing" in " ".join(out.split())


def test_nothing_heavy_is_imported():
    code = "import sys; from pathlib import Path; from lf_registry.doctor.command import collect; collect(Path('x'))"
    code += "; print([m for m in ('torch', 'transformers', 'llamafactory', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "[]\n"


# versions


def test_versions_beside_the_lock(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "torch==2.11.0 \\\n    --hash=sha256:00\npeft==0.0.1 \\\n    --hash=sha256:00\n"
        "psutil==1.0 ; python_version < '3' \\\n    --hash=sha256:00\nnot-here==1.0 \\\n"
    )
    assert read_lock(lock) == {"torch": "2.11.0", "peft": "0.0.1", "not-here": "1.0"}
    section = versions(lock, ["peft>=0.18.1,<0.19", "quantum>=1; extra == 'quant'"])
    assert codes(section) == ["warning not-as-locked"]
    assert "peft 0.18.1 (lock: 0.0.1)" in section.findings[0].message
    assert ("lock", "1 packages as in requirements.lock, 1 not") in section.facts


def test_the_lock_of_this_project_is_installed():
    assert len(read_lock(ROOT / "requirements.lock")) > 100
    assert [code for code in codes(versions()) if code.startswith("error")] == []


def test_packages_that_a_run_needs(tmp_path):
    section = versions(tmp_path / "none", ["torch<2", "not-a-package-at-all>=1.0"])
    assert codes(section) == ["error wrong-version", "error missing-package"]
    assert [found.fix for found in section.findings] == [
        "pip install 'torch<2'",
        "pip install 'not-a-package-at-all>=1.0'",
    ]


# GPU


@pytest.fixture
def machine(monkeypatch):
    """The GPU part of the page on a machine that a fake driver describes."""

    def look_at(environment=None, **facts):
        monkeypatch.setenv("FAKE_NVML", json.dumps(facts))
        for name, value in (environment or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(str(ROOT / "tests" / "fake_nvml"))
        sys.modules.pop("pynvml", None)
        return gpus(environment or {})

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield look_at
    sys.modules.pop("pynvml", None)


A100 = {"used": 0}


@pytest.mark.parametrize(
    ("environment", "facts", "expected"),
    [
        ({}, {"gpus": [A100, A100]}, []),
        ({}, {"gpus": [A100], "cuda": 13010}, []),
        ({}, {"gpus": [A100], "cuda": 12080, "driver": "570.124.06"}, ["error driver-too-old"]),
        ({}, {"gpus": [A100], "cuda": 13000, "driver": "570.124.06"}, ["warning driver-compatibility"]),
        ({}, {"gpus": [A100], "cuda": None, "driver": "570.124.06"}, ["error driver-too-old"]),
        ({}, {"gpus": [A100], "cuda": None}, []),
        ({}, {"gpus": [A100 | {"capability": [7, 5]}]}, ["warning no-bf16"]),
        ({}, {"gpus": [A100 | {"capability": [7, 0]}]}, ["error gpu-too-old", "warning no-bf16"]),
        ({}, {"gpus": [A100, {"used": 30 * GIB}]}, ["warning gpu-in-use"]),
        ({}, {"gpus": [A100, A100], "p2p": 5}, ["warning no-peer-to-peer"]),
        ({"NCCL_P2P_DISABLE": "1"}, {"gpus": [A100, A100], "p2p": 5}, []),
        ({}, {"gpus": []}, ["warning no-gpu"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, {"gpus": [A100]}, ["warning no-gpu"]),
        (POD | {"RUNPOD_GPU_COUNT": "2"}, {"gpus": []}, ["error gpu-gone"]),
        (POD | {"RUNPOD_GPU_COUNT": "2"}, {"gpus": [A100, A100]}, []),
        (POD | {"NUM_NODES": "2"}, {"gpus": [A100]}, ["error wrong-network"]),
        (POD | {"NUM_NODES": "2", "NCCL_SOCKET_IFNAME": "eth0"}, {"gpus": [A100]}, ["error wrong-network"]),
        (POD | {"NUM_NODES": "2", "NCCL_SOCKET_IFNAME": "ens1"}, {"gpus": [A100]}, []),
    ],
)
def test_gpus(machine, environment, facts, expected):
    section, _ = machine(environment, **facts)
    assert codes(section) == expected
    assert all(found.fix for found in section.findings)


@pytest.mark.parametrize(
    ("driver", "built", "oldest"),
    [
        ("580.65.06", "13.0", None),
        ("595.10", "13.2", None),  # any minor version
        ("575.57.08", "13.0", 580),
        ("525.60.13", "12.8", None),
        ("515.105.01", "12.6", 525),
        ("580.95.05", "14.0", None),  # nothing is known of it
        ("unknown", "13.0", None),
    ],
)
def test_how_old_a_driver_may_be(driver, built, oldest):
    assert too_old(driver, built) == oldest


def test_what_to_do_about_a_driver_that_is_too_old(machine, monkeypatch):
    section, _ = machine({}, gpus=[A100], cuda=12080, driver="570.124.06")
    (found,) = section.findings
    assert (
        "the driver is 570.124.06 and runs CUDA up to 12.8" in found.message and "driver 580 or newer" in found.message
    )
    assert "--min-cuda-version 13.0" in found.fix and "torch 2.11.0's build for CUDA 12.x" in found.fix
    monkeypatch.setattr("lf_registry.doctor.gpus.torch_cuda", lambda: "12.6")
    assert codes(machine({}, gpus=[A100], cuda=12020, driver="535.54.03")[0]) == [], "minor versions do not matter"


def test_what_the_page_says_of_gpus(machine):
    section, count = machine({"CUDA_VISIBLE_DEVICES": "1,GPU-b,7,0"}, gpus=[A100, A100, A100 | {"uuid": "GPU-b"}])
    facts = dict(section.facts)
    assert count == 2 and facts["GPU"] == "2x NVIDIA A100-SXM4-80GB, 80 GiB", "an index that is none hides the rest"
    assert facts["driver"] == "580.95.05, runs CUDA up to 13.0" and facts["bf16"] == "yes"
    assert facts["peer-to-peer"] == "between all GPUs" and facts["NCCL"][0].isdigit()


def test_a_device_whose_driver_does_not_answer(machine, monkeypatch):
    monkeypatch.setattr("lf_registry.doctor.gpus.has_nvidia_device", lambda: True)
    section, count = machine({}, error="Driver/library version mismatch")
    assert count == 0 and codes(section) == ["error gpu-unusable"]
    assert "version mismatch" in section.findings[0].message


def test_a_device_that_cannot_be_asked_without_the_package(monkeypatch):
    monkeypatch.setattr("lf_registry.doctor.gpus.has_nvidia_device", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    section, _ = gpus({})
    assert codes(section) == ["warning gpu-unknown"] and section.findings[0].fix == "pip install nvidia-ml-py"


def test_torch_says_for_which_cuda_it_was_built_without_being_imported():
    import torch

    assert torch_cuda() == torch.version.cuda


# disks


def place(label, path, *, free=100, total=200, device=2, writable=True):
    return Place(label, Path(path), total * GIB, free * GIB, device, writable)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (place("output", "/workspace/out"), []),
        (place("output", "/workspace/out", free=5), ["warning little-disk"]),
        (place("TMPDIR", "/tmp", free=0), ["error disk-full"]),
        (place("HF_HOME", "/data", writable=False), ["error not-writable"]),
        (place("PIP_CACHE_DIR", "/elsewhere/.cache/pip", free=0), []),
    ],
)
def test_places(found, expected):
    section = Section("disk")
    check_places(section, [found])
    assert codes(section) == expected


VOLUME = place("/workspace", "/workspace")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([place("output", "/elsewhere/out", device=1)], ["error no-volume"]),
        ([place("/workspace", "/workspace", device=1), place("output", "/workspace/o", device=1)], ["error no-volume"]),
        ([VOLUME, place("output", "/elsewhere/out", device=1)], ["error container-disk"]),
        ([VOLUME, place("output", "/workspace/out"), place("HF_HOME", "/workspace/hf")], []),
        ([VOLUME, place("HF_HOME", "/elsewhere/.cache/huggingface", device=1)], ["warning container-disk"]),
        ([VOLUME, place("PIP_CACHE_DIR", "/workspace/.cache/pip")], ["warning cache-on-volume"]),
        ([VOLUME, place("TMPDIR", "/workspace/tmp"), place("TMPDIR", "/tmp", device=1)], ["warning cache-on-volume"]),
        ([place("/workspace", "/workspace", total=400 * 1024)], ["warning quota-unseen"]),
    ],
)
def test_a_pod_loses_its_container_disk(found, expected):
    section = Section("disk")
    check_pod(section, found, container=1)
    assert codes(section) == expected


@pytest.mark.parametrize(
    ("mebibytes", "gpus", "expected"),
    [(64, 2, ["error small-shm"]), (64, 1, ["warning small-shm"]), (8192, 8, [])],
)
def test_shared_memory(mebibytes, gpus, expected):
    section = Section("disk")
    check_shm(section, mebibytes * 1024**2, gpus)
    assert codes(section) == expected


def test_where_a_run_writes(tmp_path):
    environment = {"HF_HOME": str(tmp_path / "hf"), "TMPDIR": "/dev/shm", "UV_CACHE_DIR": str(tmp_path / "uv")}
    found = {item.label: item for item in places(environment, tmp_path / "not" / "yet", volume=tmp_path)}
    assert list(found) == ["output", "HF_HOME", "TMPDIR", "UV_CACHE_DIR", str(tmp_path)]
    assert found["output"].device == tmp_path.stat().st_dev and found["TMPDIR"].device == Path("/dev/shm").stat().st_dev
    assert 0 < found["output"].free <= found["output"].total
    assert places({"XDG_CACHE_HOME": "/c"}, tmp_path)[1].path == Path("/c/huggingface")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_a_folder_that_nobody_can_write():
    assert not look("output", Path("/proc/self/out")).writable


def test_a_container_has_the_memory_of_its_limit(tmp_path):
    import psutil

    machine = psutil.virtual_memory().total
    assert cgroup.memory(tmp_path)[1] == machine
    (tmp_path / "memory.max").write_text(f"{4 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {GIB}\n")
    assert cgroup.memory(tmp_path) == (2 * GIB, 4 * GIB)
    (tmp_path / "memory.max").write_text("max\n")
    assert cgroup.memory(tmp_path)[1] == machine


# plugin and registry


def test_the_plugin_in_a_child_process(monkeypatch):
    found = start_child(False)()
    assert found["active"] and "llamafactory.launcher" in found["hooks"]
    monkeypatch.setenv("LF_REGISTRY_DISABLE", "1")
    off = plugin(start_child(False)(), os.environ)
    assert "error plugin-off" in codes(off) and off.findings[0].fix == "unset LF_REGISTRY_DISABLE"


def test_a_child_that_dies(monkeypatch, tmp_path):
    (tmp_path / "json.py").write_text("raise RuntimeError('broken here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    section = plugin(start_child(False)(), {})
    assert codes(section)[0] == "error child-failed" and "broken here" in section.findings[0].message


ACTIVE = {"active": True, "hooks": ["a"], "file": "/x/autoload.py"}
HERE = str(Path(sys.executable).parent)


def test_llamafactory_of_another_environment(tmp_path):
    other = tmp_path / "llamafactory-cli"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    here = Path("/x/autoload.py")
    assert codes(plugin(ACTIVE, {"PATH": HERE}, here)) == []
    section = plugin(ACTIVE, {"PATH": f"{tmp_path}{os.pathsep}{HERE}"}, here)
    assert codes(section) == ["warning other-llamafactory"] and str(other) in section.findings[0].message
    assert codes(plugin(ACTIVE, {"PATH": "/nowhere"}, here)) == ["warning other-llamafactory"]
    assert codes(plugin(ACTIVE, {"PATH": HERE})) == ["warning two-plugins"]
    not_installed = plugin(ACTIVE | {"active": False}, {"PATH": HERE}, here)
    assert codes(not_installed) == ["error plugin-off"] and "pip install" in not_installed.findings[0].fix


def test_what_llamafactory_knows_in_a_child():
    full = ACTIVE | {"cuda": [True, 2], "bf16": True, "templates": ["llama3"]}
    section = plugin(full, {"PATH": HERE}, Path("/x/autoload.py"))
    assert codes(section) == ["error templates-missing"] and "kanana_qa" in section.findings[0].message
    assert ("torch in it", "2 GPUs, bf16 yes") in section.facts
    blind = full | {"cuda": [False, 0], "no_cuda": "Error 804: forward compatibility was attempted"}
    section = plugin(blind, {"PATH": HERE}, Path("/x/autoload.py"), gpus=2)
    assert "error torch-without-gpu" in codes(section) and "Error 804" in section.findings[0].message
    assert "error torch-without-gpu" not in codes(plugin(blind, {"PATH": HERE}, Path("/x/autoload.py")))


def test_broken_files_of_the_registry(project, monkeypatch):
    project("templates/a.yaml", "name: a\n")
    project("dataset_info.json", "{")
    assert set(codes(registry())) == {"error broken-file"} and len(registry().findings) >= 2
    monkeypatch.setenv("LF_REGISTRY_PATH", "/nowhere/at/all")
    assert codes(registry()) == ["error broken-path"]


def test_no_page_shows_a_token():
    section = Section("x")
    secret = "hf_" + "x" * 34
    section.say("token", secret)
    section.find("error", "code", "where", f"a {secret}\nsecond line \x1b[31m", f"export HF_TOKEN={secret}")
    for page in (page_text([section]), page_json([section])):
        assert secret not in page and "(hidden)" in page
    assert "\x1b" not in page_text([section])
