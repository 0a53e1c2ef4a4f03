"""The main job, for real: the shipped recipe under ZeRO-3 with two processes, then the shipped merge recipe."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess

import pytest
import torch
from safetensors.torch import load_file

from conftest import ROOT
from lf_registry.merge.export_adapter import export_adapter
from lf_registry.templates import load_templates
from lf_registry.tiny.demo import merge_persona, train_persona
from lf_registry.tiny.first_training import train
from lf_registry.tiny.model import build_model
from lf_registry.watch.log import read_log

OVERRIDES = (
    "max_samples=16",
    "max_steps=24",
    "per_device_train_batch_size=4",
    "logging_steps=1",
    "eval_steps=24",
    "save_steps=24",
)

FAKE_GPUS = json.dumps({"gpus": [{"busy": 75}, {"busy": 25, "uuid": "GPU-b"}]})


@pytest.fixture(scope="session")
def trained(tmp_path_factory, bundled_texts):
    """(base, adapter, merged) folders after a run with two ZeRO-3 processes, and the training's output."""
    folder = tmp_path_factory.mktemp("zero3")
    base, adapter, merged = (folder / name for name in ("base", "adapter", "merged"))
    build_model(folder / "random", bundled_texts)
    train(folder / "random", ROOT, base, steps=60)
    environment = os.environ | {"NPROC_PER_NODE": "2", "OMP_NUM_THREADS": "1"}
    # Watched, with GPUs that only NVML has: CUDA sees none.
    path = os.pathsep.join([str(ROOT / "tests" / "fake_nvml"), os.environ.get("PYTHONPATH", "")])
    environment |= {"PYTHONPATH": path, "FAKE_NVML": FAKE_GPUS, "LF_REGISTRY_WATCH": "0.05"}
    printed = []
    for command in (train_persona(base, adapter, *OVERRIDES), merge_persona(base, adapter, merged)):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        printed.append(done.stdout + done.stderr)
        assert done.returncode == 0, printed[-1][-4000:]
    return base, adapter, merged, printed[0]


def test_two_processes_trained_under_zero3(trained):
    _, adapter, _, printed = trained
    assert printed.count("world size: 2") == 2
    assert list((adapter / "checkpoint-24" / "global_step24").glob("*rank_1*")), (
        "the second process saved its partition"
    )


def test_training_loss_falls(trained):
    _, adapter, _, _ = trained
    losses = [
        entry["loss"]
        for entry in json.loads((adapter / "trainer_state.json").read_text())["log_history"]
        if "loss" in entry
    ]
    assert len(losses) == 24
    assert sum(losses[-3:]) < 0.93 * sum(losses[:3])


def test_the_held_out_loss_is_measured_and_plotted(trained):
    _, adapter, _, _ = trained
    history = json.loads((adapter / "trainer_state.json").read_text())["log_history"]
    assert any("eval_loss" in entry for entry in history)
    assert (adapter / "training_loss.png").stat().st_size > 1000


def test_it_was_watched_by_one_process(trained):
    _, adapter, _, printed = trained
    rows, broken = read_log(adapter / "hardware_log.jsonl")
    assert broken == 0 and [row["event"] for row in rows if "event" in row] == ["start", "end"]
    assert rows[0]["processes"] == 2 and rows[0]["max_steps"] == 24 and len(rows[0]["gpus"]) == 2
    assert sum(row.get("steps", 0) for row in rows) == 24
    assert {"train", "data", "evaluate", "save"} <= {phase for row in rows for phase in row.get("seconds", ())}
    assert printed.count("hardware: 24 steps") == 1 and "GPU idle 50 % of the time" in printed
    assert (adapter / "hardware.png").is_file()
    assert "training_loss.png" in printed.split("Figure saved at:")[1], "LLaMA-Factory has drawn its own"
    width, height = struct.unpack(">II", (adapter / "training_loss.png").read_bytes()[16:24])
    assert (width, height) == (900, 550), "and ours stands in its place"
    assert (adapter / "training_eval_loss.png").is_file()


def test_the_adapter_is_not_empty(trained):
    _, adapter, _, _ = trained
    tensors = load_file(adapter / "adapter_model.safetensors")
    assert len(tensors) == 2 * 7 * 2, "A and B of seven linear layers in two blocks"
    assert all(tensor.numel() > 0 and torch.count_nonzero(tensor) > 0 for tensor in tensors.values())


def test_the_exported_chat_template_carries_the_persona(trained):
    from transformers import AutoTokenizer

    base, _, merged, _ = trained
    persona = load_templates()["llama3-ironman"].default_system
    tokenizer = AutoTokenizer.from_pretrained(merged)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "넌 누구야?"}], add_generation_prompt=True, tokenize=False
    )
    assert persona in text
    assert text.endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")
    assert persona in (merged / "Modelfile").read_text(encoding="utf-8")
    assert persona[:20] not in AutoTokenizer.from_pretrained(base).chat_template


def test_the_exported_tokenizer_stops_at_the_end_of_a_turn(trained):
    from transformers import AutoTokenizer

    _, _, merged, _ = trained
    assert AutoTokenizer.from_pretrained(merged).eos_token == "<|eot_id|>"


def test_the_exported_model_differs_from_its_base(trained):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, _, merged, _ = trained
    ids = AutoTokenizer.from_pretrained(merged)("안녕, 토니", return_tensors="pt")["input_ids"]
    logits = [AutoModelForCausalLM.from_pretrained(folder)(ids).logits for folder in (base, merged)]
    assert logits[0].shape == logits[1].shape
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_a_misspelt_template_stops_before_anything_starts(tmp_path):
    command = train_persona(tmp_path, tmp_path / "out", "template=lama3-ironman")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "did you mean 'llama3-ironman'" in done.stderr
    assert "Traceback" not in done.stderr and "torchrun" not in done.stderr


def test_the_adapter_is_rebuilt_from_the_partitions_of_two_processes(trained, tmp_path):
    _, adapter, _, _ = trained
    checkpoint = tmp_path / "checkpoint-24"
    shutil.copytree(adapter / "checkpoint-24", checkpoint)
    expected = load_file(checkpoint / "adapter_model.safetensors")
    (checkpoint / "adapter_model.safetensors").unlink()
    export_adapter(checkpoint, None)
    rebuilt = load_file(checkpoint / "adapter_model.safetensors")
    assert rebuilt.keys() == expected.keys()
    assert all(torch.equal(rebuilt[name].float(), tensor.float()) for name, tensor in expected.items())
