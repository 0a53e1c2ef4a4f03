"""Pushing while training, as recipes/ironman_lora.yaml shows it: private, each save, without the token in any file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from lf_registry.check.rules import check_recipe
from lf_registry.recipes import read_recipe
from publish_folders import calls_to, on_the_hub

RECIPE = "recipes/ironman_lora.yaml"
KEYS = ["push_to_hub", "hub_model_id", "hub_strategy", "hub_private_repo"]
SMALL = {
    **{"max_samples": "4", "max_steps": "4", "save_steps": "2", "logging_steps": "1", "cutoff_len": "256"},
    **{"per_device_train_batch_size": "1", "gradient_accumulation_steps": "1", "eval_strategy": "'no'"},
    **{"bf16": "false", "use_cpu": "true", "deepspeed": "null", "eval_dataset": "null", "plot_loss": "false"},
}


def uncommented() -> str:
    """The recipe with its hub block switched on, as its comment says: without the four ``# ``."""
    text = (ROOT / RECIPE).read_text("utf-8")
    keys = "|".join(KEYS)
    changed, count = re.subn(rf"^# (?=(?:{keys}):)", "", text, flags=re.MULTILINE)
    assert count == len(KEYS)
    return changed


def test_the_block_is_clean_and_without_a_token(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(uncommented(), "utf-8")
    recipe = read_recipe(str(path))
    assert [key for key in recipe.values if "hub" in key] == KEYS and recipe.values["hub_private_repo"] is True
    assert [finding for finding in check_recipe(recipe) if "hub" in finding.where] == []
    shipped = read_recipe(RECIPE).values
    assert not [key for key in shipped if "hub" in key], "off as it is shipped"
    for other in sorted((ROOT / "recipes").rglob("*.yaml")):
        assert not re.search(r"^\s*hub_token\s*:", other.read_text("utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def pushed(hub_server, published_base, tmp_path_factory):
    """A Hub after a training with the shipped block and a small model, and the training's output folder."""
    folder = tmp_path_factory.mktemp("pushed")
    hub = hub_server.fresh(folder)
    recipe, out = folder / "r.yaml", folder / "out"
    recipe.write_text(uncommented(), "utf-8")
    # The Hub refuses the Trainer's card when it names a path: this folder has a name as on the Hub, where it starts.
    (folder / "tester").mkdir()
    (folder / "tester" / "base").symlink_to(published_base)
    values = {**SMALL, "model_name_or_path": "tester/base", "output_dir": "out", "dataset_dir": str(ROOT)}
    command = [str(Path(sys.executable).with_name("llamafactory-cli")), "train", str(recipe)]
    command += [f"{key}={value}" for key, value in values.items()]
    done = subprocess.run(
        command, cwd=folder, env=hub.env("lfs"), capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert hub.token not in done.stdout + done.stderr
    return hub, out


def test_each_save_is_pushed_to_a_private_repository(pushed):
    hub, out = pushed
    (repo_id,) = hub.state.repos
    repo = hub.repo(repo_id)
    assert repo_id == "tester/Llama-3-Ironman-LoRA" and repo.private
    titles = [commit.title for commit in repo.history()]
    assert any("step 2" in title for title in titles) and any("step 4" in title for title in titles), titles
    weights = (out / "adapter_model.safetensors").read_bytes()
    assert on_the_hub(hub, repo_id)["adapter_model.safetensors"] == weights
    assert calls_to(hub, "POST", "/commit/") and not hub.leaks()


def test_no_pushed_file_carries_the_token(pushed):
    """LLaMA-Factory pushes training_args.bin; with HF_TOKEN alone, and no ``hub_token``, it holds none."""
    hub, out = pushed
    (repo_id,) = hub.state.repos
    repo = hub.repo(repo_id)
    seen = {name for commit in repo.history() for name in commit.files}
    assert "training_args.bin" in seen
    for commit in repo.history():
        for name in commit.files:
            assert hub.token.encode() not in repo.read(name, commit.id), name
    files = [path for path in out.rglob("*") if path.is_file()]
    assert [path for path in files if hub.token.encode() in path.read_bytes()] == []
