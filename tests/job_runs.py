"""The job script in a folder of its own, with stand-ins for the commands that cost minutes or money."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from conftest import ROOT

SCRIPT = ROOT / "recipes" / "runpod" / "job.sh"
HERE = Path(__file__).parent
POD = {"RUNPOD_POD_ID": "pod123"}
MODEL = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 1000,
    "tie_word_embeddings": True,
}
RECIPE = """
model_name_or_path: model
stage: sft
do_train: true
finetuning_type: lora
lora_target: all
dataset: few
dataset_dir: .
template: llama3
output_dir: outputs/try
max_steps: 2
save_steps: 1
per_device_train_batch_size: 2
"""
MERGE = """
model_name_or_path: model
adapter_name_or_path: outputs/try
template: llama3
finetuning_type: lora
export_dir: outputs/merged
"""


@dataclass
class Desk:
    """A user's folder.

    Attributes:
        folder: the current folder of every job.
        environment: of every job.
    """

    folder: Path
    environment: dict[str, str]

    def command(self, *words: str) -> list[str]:
        return ["bash", str(SCRIPT), *words]

    def job(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        path = Path(self.environment["CALLS"])
        return path.read_text().splitlines() if path.exists() else []

    def verbs(self) -> list[str]:
        """The calls' first two words, and forgets them."""
        found = [" ".join(line.split()[:2]) for line in self.calls]
        Path(self.environment["CALLS"]).unlink(missing_ok=True)
        return found

    @property
    def seen(self) -> dict[str, str]:
        """Variables that the training saw."""
        lines = Path(self.environment["CALLS"] + ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory) -> Path:
    """This Python, with stand-ins for the commands beside it: a virtual environment that borrows ours."""
    folder = tmp_path_factory.mktemp("environment")
    (folder / "bin").mkdir()
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", folder / "pyvenv.cfg")
    (folder / "lib").symlink_to(Path(sys.prefix) / "lib")
    (folder / "bin" / "python").symlink_to(sys.executable)
    for path in (HERE / "job_commands").iterdir():
        (folder / "bin" / path.name).symlink_to(path)
    return folder / "bin" / "python"


@pytest.fixture
def desk(tmp_path, interpreter) -> Desk:
    folder = tmp_path / "here"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text(json.dumps(MODEL))
    rows = [{"instruction": "이름이 뭐야?", "input": "", "output": "토니야."}] * 8
    (folder / "few.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    (folder / "dataset_info.json").write_text('{"few": {"file_name": "few.json"}}')
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "merge.yaml").write_text(MERGE)
    save_file({"a": torch.zeros(4)}, tmp_path / "weights.safetensors")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "runpodctl").symlink_to(HERE / "fake_runpodctl")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNPOD_", "NCCL_", "HF_"))}
    environment = kept | {
        "PYTHON": str(interpreter),
        "PATH": f"{tools}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "WEIGHTS": str(tmp_path / "weights.safetensors"),
        "LF_REGISTRY_JOBS": str(tmp_path / "jobs"),
        "LF_REGISTRY_STOP_PAUSE": "0",
        "HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
    }
    return Desk(folder, environment)


@pytest.fixture
def quick(desk: Desk, interpreter) -> Desk:
    """The desk, with jobs in this process, which saves the imports: all but what job.sh itself does."""
    from lf_registry.errors import UserError
    from lf_registry.job.__main__ import app

    def start(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(desk.folder)
            patch.setattr(sys, "executable", str(interpreter))
            for name, value in (desk.environment | environment).items():
                patch.setenv(name, value)
            done = CliRunner().invoke(app, list(words))
        if isinstance(done.exception, UserError):
            return subprocess.CompletedProcess(words, done.exception.exit_code, done.output, str(done.exception))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return subprocess.CompletedProcess(words, done.exit_code, done.output, "")

    desk.job = start
    return desk


@pytest.fixture
def gpus(desk: Desk) -> Desk:
    """Two cards, as far as nvidia-smi says."""
    tools = Path(desk.environment["PATH"].split(":")[0])
    (tools / "nvidia-smi").symlink_to(HERE / "job_commands" / "nvidia-smi")
    desk.environment["GPUS"] = "2"
    return desk


@pytest.fixture
def volume(tmp_path):
    """A folder on another disk than the container's."""
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK) or shm.stat().st_dev == Path("/").stat().st_dev:
        pytest.skip("no second file system here")
    folder = shm / f"lf-registry-test-{os.getpid()}-{tmp_path.name}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)
