"""Real trainings for the tests of saving and resuming: LoRA under ZeRO-3, two processes, a tiny model."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conftest import ROOT
from lf_registry.tiny.model import build_model

#: Of a whole run, with a save after every second one.
STEPS = 12 if "LF_REGISTRY_SOAK" in os.environ else 8
RECIPE = """
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_dropout: 0.05
lora_target: q_proj,v_proj
deepspeed: recipes/deepspeed/ds_z3.json
dataset: ironman
dataset_dir: .
template: llama3
cutoff_len: 48
max_samples: 16
overwrite_cache: true
preprocessing_num_workers: 1
per_device_train_batch_size: 2
gradient_accumulation_steps: 1
learning_rate: 1.0e-2
max_steps: {steps}
logging_steps: 1
save_steps: 2
save_total_limit: 2
report_to: none
seed: 7
"""


@dataclass
class Run:
    """A training that was started.

    Attributes:
        out: its output folder; ``log`` holds what all its processes print.
        group: the process group.
    """

    server: subprocess.Popen
    out: Path
    log: Path
    group: int
    codes: list[int] | None = None

    def wait(self) -> list[int]:
        if self.codes is None:
            self.codes = json.loads(self.server.stdout.readline())
        return self.codes

    def signal(self, number: int) -> None:
        """To all processes of the run; to none when it has ended, which its exit codes then tell."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, number)

    @property
    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, name: str, seconds: float = 120) -> None:
        """Until a file that matches is in the output folder."""
        until = time.monotonic() + seconds
        while not list(self.out.glob(name)):
            assert time.monotonic() < until, self.printed[-3000:]
            time.sleep(0.002)


@dataclass
class Trainer:
    """Starts trainings of one tiny base model; see ``resume_server.py``."""

    base: Path
    recipe: Path
    server: subprocess.Popen
    count: int = 0
    environment: dict = field(default_factory=dict)

    def start(self, out: Path, *overrides: str, world: int = 2) -> Run:
        self.count += 1
        log = out.parent / f"{out.name}.{self.count}.log"
        order = {
            "arguments": [str(self.recipe), f"output_dir={out}", *overrides],
            "world": world,
            "port": free_port(),
            "log": str(log),
            "environment": self.environment,
        }
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        return Run(self.server, out, log, json.loads(self.server.stdout.readline()))

    def train(self, out: Path, *overrides: str, world: int = 2) -> Run:
        run = self.start(out, *overrides, world=world)
        run.wait()
        return run


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def losses(out: Path) -> list[float]:
    history = json.loads((out / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


@pytest.fixture(scope="session")
def trainer(tmp_path_factory, bundled_texts):
    folder = tmp_path_factory.mktemp("resume")
    base = folder / "base"
    build_model(base, bundled_texts[:300])
    recipe = folder / "recipe.yaml"
    recipe.write_text(f"model_name_or_path: {base}\n{RECIPE.format(steps=STEPS)}", encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("resume_server.py"))],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "server.log").open("w"),
        text=True,
    )
    assert server.stdout.readline() == "0\n", (folder / "server.log").read_text()[-3000:]
    yield Trainer(base, recipe, server)
    server.stdin.close()
    server.wait()
    shutil.rmtree(folder, ignore_errors=True)
