"""Model folders whose weight files, shards or index are broken."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

from folder_changes import INDEX, WEIGHTS, both, cut, edit, put, remove, tensors, text
from tensor_files import LFS


def index(change_map=None, **metadata):
    def change(folder: Path) -> None:
        path = folder / "model.safetensors.index.json"
        values = json.loads(path.read_text())
        if change_map:
            change_map(values["weight_map"])
        values["metadata"] |= metadata
        path.write_text(json.dumps(values))

    return change


def forget_norm(weight_map) -> None:
    del weight_map["model.norm.weight"]


def swap_norm(weight_map) -> None:
    weight_map["model.norm.weight"] = next(v for v in weight_map.values() if v != weight_map["model.norm.weight"])


def repeat_norm(folder: Path) -> None:
    weight_map = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    other = next(v for v in weight_map.values() if v != weight_map["model.norm.weight"])
    tensors(put("model.norm.weight", 32), other)(folder)


def first_shard(folder: Path) -> str:
    return min(path.name for path in folder.glob("model-*.safetensors"))


def copy_shard(folder: Path) -> None:
    shutil.copy(folder / first_shard(folder), folder / "model-00001-of-00099.safetensors")


def at_first_shard(make, *arguments):
    def change(folder: Path) -> None:
        make(first_shard(folder), *arguments)(folder)

    return change


def partitions(folder: Path) -> None:
    remove("*.safetensors")(folder)
    text("global_step10/zero_pp_rank_0_mp_rank_00_model_states.pt", b"x")(folder)
    text("global_step10/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", b"x")(folder)
    text("zero_to_fp32.py", "")(folder)


#: name -> the model, what is done to it, the code expected, words of the message, the fix or the details.
BROKEN = {
    "no weights": ("llama", remove("*.safetensors"), "no-weights", "hf download MODEL_ID"),
    "weights empty": ("llama", text(WEIGHTS, ""), "empty-file", "0 bytes"),
    "weights LFS": ("llama", text(WEIGHTS, LFS), "lfs-pointer", "git lfs pull"),
    "weights cut": ("llama", cut(WEIGHTS, -100), "truncated-shard", "100 of"),
    "header cut": ("llama", cut(WEIGHTS, 200), "truncated-shard", "inside the header"),
    "weights foreign": ("llama", text(WEIGHTS, struct.pack("<Q", 2) + b"[]"), "bad-header", "does not begin with {"),
    "partitions": ("llama", partitions, "only-deepspeed-partitions", "zero_to_fp32.py"),
    "pickle LFS": (
        "llama",
        both(remove("*.safetensors"), text("pytorch_model.bin", LFS)),
        ["lfs-pointer", "pickle-weights"],
        "git lfs pull",
    ),
    "pickle shard": (
        "llama",
        both(
            remove("*.safetensors"),
            text("pytorch_model.bin.index.json", '{"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}'),
        ),
        ["missing-shard", "pickle-weights"],
        "pytorch_model-00001-of-00001.bin",
    ),
    "missing shard": ("sharded", at_first_shard(remove), "missing-shard", "model-00001-of"),
    "truncated shard": ("sharded", at_first_shard(cut, -5), "truncated-shard", "5 of"),
    "shard LFS": ("sharded", at_first_shard(text, LFS), "lfs-pointer", "git lfs pull"),
    "no index": ("sharded", remove(INDEX), "missing-index", INDEX),
    "index cut": ("sharded", cut(INDEX, 300), "bad-json", "not JSON"),
    "index without map": ("sharded", edit(INDEX, weight_map=None), "bad-index", "weight_map"),
    "index without metadata": ("sharded", edit(INDEX, metadata=None), "bad-index", '"metadata": {}'),
    "key elsewhere": ("sharded", index(swap_norm), "key-not-in-shard", "model.norm.weight"),
    "key twice": ("sharded", repeat_norm, "duplicate-key", "model.norm.weight"),
}
#: The same, for what is only a warning.
WARNED = {
    "two sets": ("llama", text("model-00001-of-00002.safetensors", b"x"), "two-sets-of-weights", "ignores"),
    "pickle": (
        "llama",
        both(remove("*.safetensors"), text("pytorch_model.bin", b"x")),
        "pickle-weights",
        "can run code",
    ),
    "total size": ("sharded", index(total_size=5), "wrong-total-size", "total_size is 5"),
    "stray shard": ("sharded", copy_shard, "stray-shard", "model-00001-of-00099.safetensors"),
    "not in the index": ("sharded", index(forget_norm), "unindexed-key", "model.norm.weight"),
    "partial": ("llama", text("x.safetensors.incomplete", "x"), "partial-download", "x.safetensors.incomplete"),
    "partial hf": ("llama", text(".cache/huggingface/download/a.incomplete", "x"), "partial-download", "a.incomplete"),
}
