"""What the check of a recipe says depends on the machine: its files, its GPUs, its environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from broken_recipes import fits
from lf_registry.check.rules import check_recipe
from lf_registry.recipes import Recipe


@pytest.mark.parametrize(
    ("files", "changes", "expected"),
    [
        ([(5, "plain"), (20, "plain")], {}, ["warning resume checkpoint-20;"]),
        ([(20, "weights")], {}, ["warning resume with a new optimizer"]),
        ([(20, "weights")], {"stage": "ppo", "reward_model": "r"}, ["error wrong-stage evaluate", "error resume PPO"]),
        ([(20, "weights")], {"deepspeed": "recipes/deepspeed/ds_z3.json"}, ["error resume DeepSpeed"]),
        (
            [(5, "plain"), "checkpoint-20/optimizer.pt"],
            {},
            ["warning broken-checkpoint checkpoint-20", "warning resume checkpoint-5;"],
        ),
        (["checkpoint-20/optimizer.pt"], {}, ["warning broken-checkpoint starts over"]),
        (["checkpoint-20/optimizer.pt"], {"overwrite_output_dir": True}, ["warning output-dir starts over"]),
        (["adapter_model.safetensors"], {}, ["error output-dir weights of a finished run"]),
        ([(20, "zero3")], {"deepspeed": "recipes/deepspeed/ds_z3.json"}, ["warning resume goes on"]),
        (["trainer_log.jsonl"], {}, []),
        (["adapter_model.safetensors"], {"overwrite_output_dir": True}, []),
    ],
)
def test_an_output_folder_that_is_not_empty(checkpoints, files, changes, expected):
    findings = check_recipe(checkpoints(*files, **changes))
    assert len(findings) == len(expected), findings
    assert all(fits(one, finding) for one, finding in zip(expected, findings, strict=True)), findings


@pytest.mark.parametrize(
    ("gpus", "visible", "changes", "warns"),
    [
        ("Tesla T4, 7.5", None, {}, True),
        ("NVIDIA A100-SXM4-80GB, 8.0", None, {}, False),
        ("NVIDIA A100-SXM4-80GB, 8.0\nTesla T4, 7.5", None, {}, True),
        ("NVIDIA A100-SXM4-80GB, 8.0\nTesla T4, 7.5", "0", {}, False),
        ("Tesla T4, 7.5", None, {"bf16": False, "fp16": True}, False),
        ("Failed to initialize NVML: Driver/library version mismatch", None, {}, False),
    ],
)
def test_bf16_on_a_gpu_without_it(tmp_path, monkeypatch, checkpoints, gpus, visible, changes, warns):
    command = tmp_path / "bin" / "nvidia-smi"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\ncat <<'END'\n{gpus}\nEND\n", encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    findings = check_recipe(checkpoints(**changes))
    assert [fits("warning bf16-gpu Tesla T4", finding) for finding in findings] == ([True] if warns else [])


@pytest.mark.parametrize("deepspeed", [None, "recipes/deepspeed/ds_z3.json"])
def test_a_space_in_the_recipes_path(checkpoints, deepspeed):
    values = checkpoints().values | {"deepspeed": deepspeed}
    (finding,) = check_recipe(Recipe(Path("my recipes/r.yaml"), values))
    assert fits(f"{'error' if deepspeed else 'warning'} space-in-path torchrun", finding)


def test_spaces_inside_the_recipe_are_safe(checkpoints, tmp_path):
    assert check_recipe(checkpoints(output_dir=str(tmp_path / "my out"), run_name="two words")) == []


def test_unknown_keys_that_were_allowed(checkpoints, monkeypatch):
    monkeypatch.setenv("ALLOW_EXTRA_ARGS", "1")
    (finding,) = check_recipe(checkpoints(lora_rnk=8))
    assert fits("warning unknown-key lora_rank", finding)
