"""The watching in LLaMA-Factory's own command: W&B without a network. (Two processes: tests/test_zero3.py.)"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
from types import SimpleNamespace

import pytest

from conftest import ROOT
from lf_registry.hooks import hardware, loss_plot
from lf_registry.tiny.demo import train_persona
from lf_registry.tiny.model import build_model

OVERRIDES = (
    "deepspeed=null",
    "max_samples=8",
    "per_device_train_batch_size=4",
    "per_device_eval_batch_size=8",
    "max_steps=4",
    "logging_steps=1",
    "eval_steps=2",
    "save_steps=4",
    "cutoff_len=64",
    "ddp_timeout=600",
)


@pytest.fixture(scope="session")
def base(tmp_path_factory, bundled_texts):
    folder = tmp_path_factory.mktemp("watch") / "base"
    build_model(folder, bundled_texts[:200], hidden=48, layers=1)
    return folder


def run(base, output, *overrides, processes, **environment):
    env = os.environ | {"OMP_NUM_THREADS": "1", "FORCE_TORCHRUN": str(int(processes > 1))} | environment
    env |= {"NPROC_PER_NODE": str(processes)}
    command = train_persona(base, output, *OVERRIDES, *overrides)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_works_without_a_network(base, tmp_path):
    options = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "LF_REGISTRY_WATCH": "1"}
    run(base, tmp_path / "out", "report_to=wandb", "run_name=test", processes=1, **options)
    (recorded,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = recorded.read_bytes()
    assert b"eval/loss" in content and b"train/loss" in content
    assert (tmp_path / "out" / "hardware.png").is_file()


def test_nothing_happens_unless_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("LF_REGISTRY_WATCH", raising=False)
    called = []
    module = SimpleNamespace(
        _training_function=called.append, plot_loss=lambda *arguments: called.append(arguments), logger=None
    )
    hardware.apply(module)
    loss_plot.apply(module)
    config = {"args": {}, "callbacks": []}
    module._training_function(config)
    module.plot_loss("nowhere", ["loss"])
    assert called == [config, ("nowhere", ["loss"])] and called[0] is config


def test_a_figure_that_fails_does_not_fail_a_finished_training(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("LF_REGISTRY_WATCH", "1")
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": [{"epoch": 1, "step": 1, "loss": 1.0}]}))
    (tmp_path / "training_loss.png").mkdir()
    module = SimpleNamespace(plot_loss=lambda *arguments: None, logger=logging.getLogger("test"))
    loss_plot.apply(module)
    module.plot_loss(str(tmp_path), ["loss"])
    assert "losses by epoch are not drawn" in caplog.text
