"""LLaMA-Factory's Ray mode with our templates; what needs Ray itself is skipped where it is not installed."""

from __future__ import annotations

import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from lf_registry.errors import UserError
from lf_registry.hooks.ray_cluster import CPUS, check_nodes
from lf_registry.templates import load_templates


def node(cpus: float, address: str = "10.0.0.2", *, alive: bool = True, **devices: float) -> dict:
    return {"NodeManagerAddress": address, "Alive": alive, "Resources": {"CPU": cpus, "memory": 1e9, **devices}}


def test_a_node_with_too_few_cpus_a_gpu_is_an_error_and_not_a_wait_for_ever():
    with pytest.raises(UserError) as caught:
        check_nodes([node(80, GPU=8), node(16, "10.0.0.3", GPU=2), node(8, "10.0.0.4", GPU=1)], "GPU")
    assert len(caught.value.problems) == 2
    assert "10.0.0.3 has 16 CPUs for its 2 GPUs; LLaMA-Factory reserves 10 for each" in str(caught.value)
    assert "--num-cpus 20" in caught.value.hint and "{num_cpus: 20}" in caught.value.hint


def test_without_a_gpu_ray_mode_cannot_start():
    with pytest.raises(UserError, match="needs a GPU: without one it reserves 10 CPUs for each CPU"):
        check_nodes([node(64)], "CPU")


@pytest.mark.parametrize("nodes", [[node(10, GPU=1)], [node(2), node(20, GPU=2)], [node(1, alive=False, GPU=1)]])
def test_nodes_that_can_start(nodes):
    check_nodes(nodes, "GPU")


def test_llamafactory_still_reserves_what_the_hook_expects():
    """Fails loudly when LLaMA-Factory changes what the hook relies on."""
    from llamafactory.train import trainer_utils, tuner

    assert f'bundle = {{"CPU": {CPUS}}}' in inspect.getsource(trainer_utils.get_placement_group)
    assert inspect.unwrap(tuner.get_placement_group) is trainer_utils.get_placement_group, "hooked"
    assert tuner.get_placement_group is not trainer_utils.get_placement_group
    source = inspect.getsource(tuner._ray_training_function)
    assert "total_devices = int(ray.cluster_resources().get(device_name, 0))" in source
    assert "get_placement_group(total_devices)" in source
    assert callable(tuner.get_device_name)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_the_plugin_is_active_in_ray_workers(tmp_path, bundled_texts):
    from lf_registry.tiny.model import build_model
    from resume_runs import RECIPE

    build_model(tmp_path / "base", bundled_texts)
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    settings = f"model_name_or_path: {tmp_path / 'base'}\noutput_dir: {out}\nray_num_workers: 2\n"
    recipe.write_text(settings + RECIPE, encoding="utf-8")
    overrides = ("template=llama3-ironman", "cutoff_len=512", "max_steps=2", "max_samples=4")
    environment = os.environ | {"USE_RAY": "1", "DS_ACCELERATOR": "cpu", "RAY_USAGE_STATS_ENABLED": "0"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "ray_driver.py", recipe, *overrides],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed[-4000:]
    assert "world size: 2" in printed
    persona = load_templates()["llama3-ironman"].default_system.splitlines()[0]
    assert printed.count(persona) >= 2, "LLaMA-Factory prints an example in each worker"
    assert persona in (out / "chat_template.jinja").read_text(encoding="utf-8")
    assert list((out / "checkpoint-2" / "global_step2").glob("*rank_1*")), "the second worker saved its partition"


def test_ray_mode_without_a_gpu_says_so(tmp_path):
    """In a real start when Ray is here; torch has to find no GPU."""
    pytest.importorskip("ray")
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    command = [sys.executable, "-m", "llamafactory.cli", "train", "recipes/ironman_qlora.yaml", "max_steps=1"]
    environment = os.environ | {"USE_RAY": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: USE_RAY: LLaMA-Factory's Ray mode needs a GPU" in done.stderr
