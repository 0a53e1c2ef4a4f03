"""Model folders whose tensors are not the model's."""

from __future__ import annotations

from folder_changes import drop, edit, put, shape, tensors


def half_float32(held) -> None:
    for name in [name for name in held if "layers.0" in name]:
        held[name] = held[name].float()


#: name -> the model, what is done to it, the code expected, words of the message, the fix or the details.
BROKEN = {
    "key missing": (
        "llama",
        tensors(drop("layers.1.mlp.up_proj.weight")),
        "missing-key",
        "layers.1.mlp.up_proj.weight",
    ),
    "head missing": ("llama", tensors(drop("lm_head.weight")), "missing-key", "lm_head.weight"),
    "embedding missing": ("llama-tied", tensors(drop("embed_tokens.weight")), "missing-key", "embed_tokens.weight"),
    "shape": ("llama", tensors(shape("layers.0.mlp.up_proj.weight", 47, 32)), "wrong-shape", "[47, 32] in the file"),
    "tied shape": ("llama-tied", tensors(put("lm_head.weight", 9, 32)), "wrong-shape", "lm_head.weight: [9, 32]"),
    "vocabulary of config": ("llama", edit("config.json", vocab_size=9000), "wrong-shape", "[9000, 32] in the model"),
    "too few layers": ("llama", edit("config.json", num_hidden_layers=3), "missing-key", "model.layers.2."),
    "no values": ("llama", tensors(shape("q_proj.weight", 0)), "empty-tensors", "stage3_gather_16bit"),
    "no tensors": ("llama", tensors(dict.clear), "no-tensors", "stage3_gather_16bit"),
    "expert missing": (
        "qwen3-moe",
        tensors(drop("1.mlp.experts.2.up_proj.weight")),
        "missing-key",
        "layers.1.mlp.experts.2.up",
    ),
    "experts missing": (
        "mixtral",
        tensors(drop("experts.3.w1.weight")),
        "missing-key",
        "layers.1.block_sparse_moe.experts.3.w1",
    ),
    "expert shape": (
        "mixtral",
        tensors(shape("0.block_sparse_moe.experts.1.w2.weight", 3, 5)),
        "wrong-shape",
        "experts.1.w2",
    ),
}
#: The same, for what is only a warning.
WARNED = {
    "unexpected": ("llama", tensors(put("model.extra.weight", 3)), "unexpected-key", "model.extra.weight"),
    "dtypes": ("llama", tensors(half_float32), "mixed-dtypes", "F32"),
}
