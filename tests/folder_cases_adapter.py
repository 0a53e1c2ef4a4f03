"""Adapter folders that are broken."""

from __future__ import annotations

from folder_changes import WEIGHTS, both, cut, drop, edit, remove, shape, tensors, text
from tensor_files import LFS

#: name -> the model, what is done to it, the code expected, words of the message, the fix or the details.
BROKEN = {
    "no adapter config": ("adapter", remove("adapter_config.json"), "no-adapter-config", "PEFT"),
    "adapter config cut": ("adapter", cut("adapter_config.json", 40), "bad-json", "not JSON"),
    "method": ("adapter", edit("adapter_config.json", peft_type="LORRA"), "unknown-peft-type", "did you mean 'LORA'"),
    "rank zero": ("adapter", edit("adapter_config.json", r=0), "bad-adapter-config", "whole number above 0"),
    "rank": ("adapter", edit("adapter_config.json", r=8), "wrong-rank", "rank 4 in the file, 8"),
    "rank pattern": (
        "adapter-pattern",
        edit("adapter_config.json", rank_pattern={}),
        "wrong-rank",
        "rank 2 in the file, 4",
    ),
    "adapter lost": ("adapter", remove("*.safetensors"), "no-weights", "adapter_model.safetensors"),
    "adapter empty": ("adapter", tensors(dict.clear, "adapter_model.safetensors"), "no-tensors", "40 bytes"),
    "adapter no values": (
        "adapter",
        tensors(shape("lora_B.weight", 0), "adapter_model.safetensors"),
        "empty-tensors",
        "stage3_gather_16bit",
    ),
    "adapter cut": ("adapter", cut("adapter_model.safetensors", -9), "truncated-shard", "9 of"),
    "adapter LFS": ("adapter", text("adapter_model.safetensors", LFS), "lfs-pointer", "git lfs pull"),
    "lora alone": (
        "adapter",
        tensors(drop("layers.0.self_attn.q_proj.lora_B.weight"), "adapter_model.safetensors"),
        "lora-without-pair",
        "layers.0.self_attn.q_proj: lora_A alone",
    ),
    "lora unequal": (
        "adapter",
        tensors(shape("layers.0.self_attn.q_proj.lora_B.weight", 32, 3), "adapter_model.safetensors"),
        "lora-rank-mismatch",
        "lora_B [32, 3]",
    ),
    "adapter partitions": (
        "adapter",
        both(remove("*.safetensors"), text("global_step5/zero_pp_rank_0_mp_rank_00_model_states.pt", b"x")),
        "only-deepspeed-partitions",
        "zero_to_fp32.py",
    ),
}
#: The same, for what is only a warning.
WARNED = {
    "no base": ("adapter", edit("adapter_config.json", base_model_name_or_path=None), "no-base-model", "Hub id"),
    "base moved": ("adapter", edit("adapter_config.json", base_model_name_or_path="/no/x"), "no-base-model", "/no/x"),
    "adapter pickle": (
        "adapter",
        both(remove("*.safetensors"), text("adapter_model.bin", b"x")),
        "pickle-weights",
        "can run code",
    ),
    "both kinds": ("adapter", text(WEIGHTS, "x"), "adapter-in-model-folder", "ignores"),
}
