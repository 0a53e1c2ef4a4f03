"""Forms in which adapters and bases come from elsewhere: older libraries, the Hub's cache."""

from __future__ import annotations

import json
import shutil

import torch
from safetensors.torch import load_file

from merge_models import change_tensors, load, peft_merged, same, save_adapter


def test_an_adapter_with_a_pair_for_each_expert(bases, merged, tmp_path):
    """Transformers 4 had a linear layer for each expert, which the checkpoint still has; PEFT on 5 cannot load it."""
    base = bases("mixtral")
    weights = load_file(base / "model.safetensors")
    pairs, expected = {}, {name: tensor.clone() for name, tensor in weights.items()}
    torch.manual_seed(0)
    for name, tensor in weights.items():
        if ".experts." in name:
            a, b = torch.randn(8, tensor.shape[1]), torch.randn(tensor.shape[0], 8)
            module = "base_model.model." + name.removesuffix(".weight")
            pairs |= {f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b}
            expected[name] += (b @ a) * 2.5
    assert pairs
    adapter = save_adapter(base, tmp_path / "adapter", target_modules=["q_proj"])
    change_tensors(adapter, lambda tensors: pairs)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["w1", "w2", "w3"]}))
    same(load_file(merged(adapter) / "model.safetensors"), expected)


def test_a_base_in_the_hubs_cache_is_links_and_the_merged_model_is_not(bases, merged, tmp_path):
    base = bases("llama", "bf16", "100KB")
    adapter = save_adapter(base, tmp_path / "adapter", target_modules=["q_proj", "v_proj"])
    snapshot, blobs = tmp_path / "models--a--b/snapshots/abc", tmp_path / "models--a--b/blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for i, file in enumerate(base.iterdir()):
        shutil.copy(file, blobs / str(i))
        (snapshot / file.name).symlink_to(f"../../blobs/{i}")
    out = merged(adapter, base=str(snapshot))
    same(load(out).state_dict(), peft_merged(base, adapter))
    assert not any(path.is_symlink() for path in out.iterdir())
    assert all((snapshot / file.name).read_bytes() == file.read_bytes() for file in base.iterdir())
