"""Model folders as Transformers and PEFT save them, and others that are all right, raise no alarm."""

from __future__ import annotations

import shutil

import pytest

from folder_changes import REMOTE, edit, put, remove, tensors, text
from model_folders import checked


@pytest.mark.parametrize(
    "name", ["llama", "llama-tied", "qwen2", "gemma2", "mistral", "gpt2", "qwen3-moe", "mixtral", "qwen2-vl", "sharded"]
)
def test_what_transformers_saves_is_clean(models, name):
    assert checked(models(name)) == ([], [])


@pytest.mark.parametrize("name", ["adapter", "adapter-pattern", "adapter-gpt2", "adapter-prefix"])
def test_what_peft_saves_is_clean(models, name):
    findings, notes = checked(models(name))
    assert findings == []
    assert bool(notes) == (name == "adapter-prefix")


def norms_float32(held) -> None:
    for name in [name for name in held if "norm" in name]:
        held[name] = held[name].float()


@pytest.mark.parametrize(
    ("base", "change", "note"),
    [
        ("llama", remove("chat_template.jinja"), None),
        ("llama", edit("config.json", vocab_size=None, auto_map=REMOTE), "not run"),
        ("llama", edit("config.json", auto_map={"AutoConfig": "someone/else--configuration_own.C"}), "someone/else"),
        (
            "llama",
            edit("config.json", quantization_config={"quant_method": "gptq", "bits": 4}),
            "other names and shapes",
        ),
        ("llama-tied", tensors(put("lm_head.weight", 307, 32)), None),
        ("llama", tensors(put("model.layers.0.self_attn.rotary_emb.inv_freq", 4)), None),
        ("llama", text("pytorch_model.bin", b"x"), None),
        ("llama", tensors(norms_float32), None),
        ("adapter", edit("adapter_config.json", target_parameters=["mlp.experts.down_proj"]), "target_parameters"),
        ("adapter", edit("adapter_config.json", base_model_name_or_path="meta/llama"), None),
    ],
    ids=[
        "no template",
        "own code",
        "code elsewhere",
        "gptq",
        "tied twice",
        "old buffer",
        "pickle beside",
        "float32 norms",
        "target",
        "hub",
    ],
)
def test_no_false_alarm(copied, base, change, note):
    folder = copied(base)
    for name in ("configuration_own.py", "modeling_own.py"):
        text(name, "raise SystemExit('must not be run')")(folder)
    change(folder)
    findings, notes = checked(folder)
    assert findings == []
    assert (note is None and notes == []) or any(note in sentence for sentence in notes)


def test_a_wider_embedding_than_the_vocabulary_is_fine(models, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(models("llama"))
    model.resize_token_embeddings(pad_to_multiple_of=128)
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    for path in models("llama").glob("*token*"):
        shutil.copy(path, tmp_path)
    assert checked(tmp_path) == ([], [])
