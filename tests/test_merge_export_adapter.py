"""A ZeRO-3 checkpoint with partitions only becomes an adapter again, through DeepSpeed's own converter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from lf_registry.errors import UserError
from lf_registry.merge.export_adapter import export_adapter
from merge_models import load, save_adapter

TRAIN = """
import sys, torch, deepspeed
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, adapter, out = sys.argv[1:]
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter, is_trainable=True)
zero = {"stage": 3, "stage3_gather_16bit_weights_on_model_save": False, "stage3_param_persistence_threshold": 0}
config = {"train_micro_batch_size_per_gpu": 1, "zero_optimization": zero, "bf16": {"enabled": True}}
config["optimizer"] = {"type": "AdamW", "params": {"lr": 0.01, "torch_adam": True}}
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
engine, *_ = deepspeed.initialize(model=model, model_parameters=trained, config=config)
ids = torch.arange(16)[None]
engine.backward(engine(input_ids=ids, labels=ids).loss)
engine.step()
engine.save_checkpoint(out + "/checkpoint-1", tag="global_step1")
with deepspeed.zero.GatheredParameters(trained):
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    state = {name: parameter.detach().float().clone() for name, parameter in named}
    torch.save(state, out + "/expected.pt")
"""


@pytest.fixture(scope="module")
def checkpoint(bases, tmp_path_factory):
    """(folder of a ZeRO-3 checkpoint, the trained parameters that it holds, the base)."""
    folder = tmp_path_factory.mktemp("zero")
    base = bases("llama")
    adapter = save_adapter(base, folder / "start", target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head"])
    environment = os.environ | {"DS_ACCELERATOR": "cpu", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    environment |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    command = [sys.executable, "-c", TRAIN, str(base), str(adapter), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    shutil.copy(adapter / "adapter_config.json", folder / "checkpoint-1")
    return folder / "checkpoint-1", torch.load(folder / "expected.pt"), base


def test_the_adapter_has_the_trained_values_under_pefts_names(checkpoint, tmp_path):
    folder, expected, _ = checkpoint
    export_adapter(folder, tmp_path / "out")
    got = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert len(got) == len(expected) == 2 * 2 * 2 + 1
    for name, tensor in expected.items():
        plain = name.replace(".modules_to_save.default", "").replace(".default", "")
        assert (got[plain] - tensor).abs().max() < 0.01, "DeepSpeed keeps fp32 masters of the bf16 parameters"


def test_the_adapter_loads_into_peft_and_is_merged(checkpoint, merged, tmp_path):
    from peft import PeftModel

    folder, _, base = checkpoint
    export_adapter(folder, tmp_path / "out")
    out = merged(tmp_path / "out", base=str(base))
    peft = PeftModel.from_pretrained(load(base), tmp_path / "out").merge_and_unload().state_dict()
    got = load(out).state_dict()
    assert all(torch.equal(got[name], tensor) for name, tensor in peft.items())


def test_what_cannot_be_exported(checkpoint, tmp_path):
    folder, *_ = checkpoint
    with pytest.raises(UserError, match="there is no such folder"):
        export_adapter(tmp_path / "checkpoint-9", None)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="file/out: cannot be written"):
        export_adapter(folder, tmp_path / "file" / "out")
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        export_adapter(tmp_path, None)
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(UserError, match=r"neither it nor the folder above has adapter_config\.json"):
        export_adapter(tmp_path, None)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(UserError, match="has no ZeRO partitions"):
        export_adapter(tmp_path, None)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="exists already"):
        export_adapter(tmp_path, None)
    damaged = shutil.copytree(folder, tmp_path / "checkpoint-1")
    for path in damaged.glob("global_step1/*optim_states.pt"):
        path.unlink()
    with pytest.raises(UserError, match="cannot put its partitions together"):
        export_adapter(damaged, None)
