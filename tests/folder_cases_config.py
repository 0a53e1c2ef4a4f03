"""Model folders whose configuration is broken."""

from __future__ import annotations

import json
from pathlib import Path

from folder_changes import REMOTE, cut, edit, remove, text


def eos_just_outside(folder: Path) -> None:
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    edit("generation_config.json", eos_token_id=size)(folder)


#: name -> the model, what is done to it, the code expected, words of the message, the fix or the details.
BROKEN = {
    "no config": ("llama", remove("config.json"), "no-config", "config.json"),
    "config cut": ("llama", cut("config.json", 60), "bad-json", "not JSON: line"),
    "config empty": ("llama", text("config.json", ""), "empty-file", "0 bytes"),
    "config a list": ("llama", text("config.json", "[]"), "bad-json", "list"),
    "config cp949": ("llama", text("config.json", '{"a": "가"}'.encode("cp949")), "bad-json", "not UTF-8"),
    "no model type": ("llama", edit("config.json", model_type=None), "no-model-type", '"model_type": "llama"'),
    "wrong model type": ("llama", edit("config.json", model_type="lama"), "unknown-model-type", "did you mean 'llama'"),
    "config refused": ("llama", edit("config.json", hidden_size="many"), "bad-config", "hidden_size"),
    "model impossible": (
        "llama",
        edit("config.json", num_attention_heads=5, head_dim=None),
        "bad-config",
        "attention heads (5)",
    ),
    "code missing": ("llama", edit("config.json", auto_map=REMOTE), "missing-code", "modeling_own.py"),
    "eos out of range": (
        "llama",
        edit("generation_config.json", eos_token_id=[1, 99999]),
        "token-id-out-of-range",
        "99999",
    ),
    "eos just outside": ("llama", eos_just_outside, "token-id-out-of-range", "eos_token_id"),
    "generation cut": ("llama", cut("generation_config.json", 20), "bad-json", "truncated"),
}
#: The same, for what is only a warning.
WARNED = {
    "no architectures": ("llama", edit("config.json", architectures=None), "no-architectures", "vLLM"),
}
