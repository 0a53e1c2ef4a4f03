"""Every kind of adapter, bit for bit equal to ``PeftModel.merge_and_unload()`` on the CPU."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from merge_models import change_tensors, load, peft_merged, same, save_adapter

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
PATTERNS = {"rank_pattern": {r"layers\.1\.self_attn\.q_proj": 3}, "alpha_pattern": {"v_proj": 7}}
CASES = {
    "plain": {"target_modules": "all-linear"},
    "scaling-not-a-power-of-two": {"target_modules": ATTENTION, "r": 6, "lora_alpha": 17},
    "rank-64": {"target_modules": ATTENTION, "r": 64},
    "rslora": {"target_modules": ATTENTION, "use_rslora": True},
    "patterns": {"target_modules": ATTENTION, **PATTERNS},
    "rslora-patterns": {"target_modules": ATTENTION, "use_rslora": True, **PATTERNS},
    "dora": {"target_modules": "all-linear", "use_dora": True},
    "dora-rslora": {"target_modules": ATTENTION, "use_dora": True, "use_rslora": True, **PATTERNS},
    "modules-to-save": {"target_modules": ATTENTION, "modules_to_save": ["lm_head", "embed_tokens"]},
    "saved-norm": {"target_modules": ATTENTION, "modules_to_save": ["input_layernorm"]},
    "lora-on-embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "lora-on-head": {"target_modules": ["q_proj", "lm_head"]},
    "lora-on-both": {"target_modules": ["q_proj", "lm_head", "embed_tokens"]},
    "tokens": {"target_modules": ATTENTION, "trainable_token_indices": [3, 0, 159]},
    "tokens-by-name": {"target_modules": ATTENTION, "trainable_token_indices": {"embed_tokens": [7]}},
    "only-layer-1": {"target_modules": ATTENTION, "layers_to_transform": [1]},
}
BIASES = {
    "bias-all": {"target_modules": ATTENTION, "bias": "all"},
    "lora-bias": {"target_modules": ATTENTION, "lora_bias": True},
    "bias-all-lora-bias": {"target_modules": ATTENTION, "bias": "all", "lora_bias": True},
}
GPT2 = {
    "plain": {"target_modules": ["c_attn", "c_proj", "c_fc"]},
    "dora": {"target_modules": ["c_attn", "c_proj", "c_fc"], "use_dora": True},
    "bias-all": {"target_modules": ["c_attn"], "bias": "all"},
    "lora-bias": {"target_modules": ["c_attn", "c_proj"], "lora_bias": True},
    "fan-in-fan-out": {"target_modules": ["c_attn"], "fan_in_fan_out": True},
}
MIXED = [("llama", name, config) for name, config in CASES.items()] + [
    *(("llama-bias", name, config) for name, config in BIASES.items()),
    *(("gpt2", name, config) for name, config in GPT2.items()),
    ("qwen2", "plain", CASES["plain"]),
    ("qwen2", "bias-all", BIASES["bias-all"]),
    ("mixtral", "attention", {"target_modules": ATTENTION}),
    ("qwen3-moe", "attention", {"target_modules": ATTENTION}),
]


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize(("family", "name", "config"), MIXED, ids=[f"{case[0]}-{case[1]}" for case in MIXED])
def test_every_feature_is_merged_as_peft_does(bases, merged, tmp_path, family, name, config, dtype):
    base = bases(family, dtype)
    adapter = save_adapter(base, tmp_path / "adapter", **config)
    same(load(merged(adapter)).state_dict(), peft_merged(base, adapter))


#: What LLaMA-Factory targets when it leaves the vision tower alone.
LANGUAGE_ONLY = r"^(?!.*(?:visual|vision_tower|multi_modal_projector)).*(?:q_proj|v_proj).*"
SEEING = {
    "list": ({"target_modules": ATTENTION}, False),
    "pattern": ({"target_modules": LANGUAGE_ONLY}, False),
    "head": ({"target_modules": ["v_proj", "lm_head"]}, True),
    "embedding": ({"target_modules": ["v_proj", "embed_tokens"]}, True),
    "saved": ({"target_modules": ["v_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}, True),
}


@pytest.mark.parametrize("family", ["qwen2-vl", "llava", "llava-tied"])
@pytest.mark.parametrize(("config", "unties"), SEEING.values(), ids=SEEING)
def test_models_that_transformers_renames_while_loading(bases, merged, tmp_path, family, config, unties):
    base = bases(family)
    adapter = save_adapter(base, tmp_path / "adapter", **config)
    out = merged(adapter)
    same(load(out).state_dict(), peft_merged(base, adapter, untie=unties and "tied" in family))


LAYERS = {
    "behind-the-last": lambda name: name.replace("layers.1.", "layers.2."),
    "beside": lambda name: name.replace("model.layers.1.", "mtp.layers.0."),
}


@pytest.mark.parametrize("rename", LAYERS.values(), ids=LAYERS)
def test_layers_that_transformers_leaves_out_stay_and_need_no_adapter(bases, merged, tmp_path, rename):
    base = Path(shutil.copytree(bases("llama"), tmp_path / "base"))
    change_tensors(base, lambda tensors: tensors | {rename(name): t for name, t in tensors.items() if ".1." in name})
    adapter = save_adapter(base, tmp_path / "adapter", target_modules=ATTENTION)
    out = merged(adapter)
    same(load(out).state_dict(), peft_merged(base, adapter))
    assert set(load_file(out / "model.safetensors")) == set(load_file(base / "model.safetensors"))


EXPERTS = {
    "both": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
    "down": ["mlp.experts.down_proj"],
    "gate-up": ["mlp.experts.gate_up_proj"],
}


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("family", ["mixtral", "qwen3-moe"])
@pytest.mark.parametrize("targets", EXPERTS.values(), ids=EXPERTS)
def test_experts_are_merged_as_peft_does(bases, merged, tmp_path, family, targets, dtype):
    base = bases(family, dtype)
    pattern = {"mlp.experts.down_proj": 3}
    options = {"target_modules": ["q_proj"], "target_parameters": targets, "lora_alpha": 11, "rank_pattern": pattern}
    adapter = save_adapter(base, tmp_path / "adapter", **options)
    same(load(merged(adapter)).state_dict(), peft_merged(base, adapter))


SAVED = {"target_modules": ["q_proj"]}
TIED = {
    "plain": ({"target_modules": ATTENTION}, True),
    "tokens": ({"target_modules": ATTENTION, "trainable_token_indices": [3, 0, 159]}, True),
    "embedding": ({"target_modules": ["q_proj", "embed_tokens"]}, False),
    "head": ({"target_modules": ["q_proj", "lm_head"]}, False),
    "both": ({"target_modules": ["q_proj", "embed_tokens", "lm_head"]}, False),
    "saved-embedding": ({"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}, False),
    "saved-head": ({"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, False),
    "saved-both": ({"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}, False),
    "tying": (SAVED | {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}, True),
    "tying-both": (SAVED | {"modules_to_save": ["embed_tokens", "lm_head"], "ensure_weight_tying": True}, False),
}


@pytest.mark.parametrize("family", ["llama-tied", "qwen2-tied"])
@pytest.mark.parametrize(("config", "stays"), TIED.values(), ids=TIED)
def test_tied_embeddings_are_untied_when_the_adapter_changed_one(bases, merged, tmp_path, family, config, stays):
    base = bases(family)
    adapter = save_adapter(base, tmp_path / "adapter", **config)
    out = merged(adapter)
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is stays
    same(load(out).state_dict(), peft_merged(base, adapter, untie=not stays))


@pytest.mark.parametrize("config", [case[0] for case in TIED.values()], ids=TIED)
def test_the_untied_model_answers_like_base_and_adapter(bases, merged, tmp_path, config):
    from peft import PeftModel

    base = bases("llama-tied", "fp32")
    adapter = save_adapter(base, tmp_path / "adapter", **config)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        expected = PeftModel.from_pretrained(load(base), adapter).eval()(ids).logits
        got = load(merged(adapter)).eval()(ids).logits
    assert (got - expected).abs().max() < 1e-4


STORED = {"head": ["c_attn", "lm_head"], "embedding": ["c_attn", "wte"]}


@pytest.mark.parametrize("targets", STORED.values(), ids=STORED)
def test_tied_layers_of_which_the_config_does_not_speak_are_known_by_their_bytes(bases, merged, tmp_path, targets):
    base = Path(shutil.copytree(bases("gpt2"), tmp_path / "base"))
    config = json.loads((base / "config.json").read_text())
    config.pop("tie_word_embeddings", None)  # GPT-2's class says so
    (base / "config.json").write_text(json.dumps(config))
    change_tensors(base, lambda tensors: tensors | {"lm_head.weight": tensors["transformer.wte.weight"]})
    adapter = save_adapter(base, tmp_path / "adapter", target_modules=targets)
    out = merged(adapter)
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
    same(load(out).state_dict(), peft_merged(base, adapter, untie=True))


@pytest.mark.parametrize("family", ["llama", "llama-tied"])
@pytest.mark.parametrize("rows", [192, 128])
def test_a_resized_vocabulary_comes_from_the_adapter(bases, merged, tmp_path, family, rows):
    base = bases(family)
    adapter = save_adapter(base, tmp_path / "adapter", resize=rows, target_modules=["q_proj"])
    out = merged(adapter)
    assert json.loads((out / "config.json").read_text())["vocab_size"] == rows
    same(load(out).state_dict(), peft_merged(base, adapter, resize=rows))


def test_a_resized_vocabulary_trained_as_a_whole(bases, merged, tmp_path):
    base = bases("llama")
    saved = ["embed_tokens", "lm_head"]
    adapter = save_adapter(base, tmp_path / "a", resize=192, target_modules=["q_proj"], modules_to_save=saved)
    same(load(merged(adapter)).state_dict(), peft_merged(base, adapter, resize=192))


@pytest.mark.parametrize("types", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_a_16_bit_adapter_is_added_in_fp32(bases, merged, tmp_path, types):
    base = bases("llama")
    adapter = save_adapter(base, tmp_path / "adapter", types=types, target_modules="all-linear")
    same(load(merged(adapter)).state_dict(), peft_merged(base, adapter))


def test_several_adapters_are_merged_one_after_the_other(bases, merged, tmp_path):
    base = bases("llama")
    first = save_adapter(base, tmp_path / "a", target_modules="all-linear", modules_to_save=["lm_head"])
    second = save_adapter(base, tmp_path / "b", seed=2, target_modules=["q_proj", "lm_head"], use_rslora=True)
    third = save_adapter(base, tmp_path / "c", seed=3, target_modules=["q_proj"], use_dora=True)
    same(load(merged(first, second, third)).state_dict(), peft_merged(base, first, second, third))


def test_saved_modules_are_enough_of_a_change(bases, merged, tmp_path):
    base = bases("llama")
    adapter = save_adapter(base, tmp_path / "adapter", target_modules=["q_proj"], modules_to_save=["lm_head"])
    change_tensors(adapter, lambda tensors: {n: t.zero_() if "lora_" in n else t for n, t in tensors.items()})
    same(load(merged(adapter)).state_dict(), peft_merged(base, adapter))


def test_trained_tokens_after_an_adapter_with_lora_on_the_embedding(bases, merged, tmp_path):
    base = bases("llama")
    first = save_adapter(base, tmp_path / "a", target_modules=["q_proj", "embed_tokens"])
    second = save_adapter(base, tmp_path / "b", target_modules=["q_proj"], trainable_token_indices=[3, 5])
    same(load(merged(first, second)).state_dict(), peft_merged(base, first, second))


@pytest.mark.parametrize("to", ["bfloat16", "float16", "float32"])
def test_the_result_is_converted_after_the_merge(bases, merged, tmp_path, to):
    base = bases("llama", "fp32")
    adapter = save_adapter(base, tmp_path / "adapter", target_modules=["q_proj"], modules_to_save=["lm_head"])
    out = merged(adapter, dtype=to)
    assert json.loads((out / "config.json").read_text())["dtype"] == to
    expected = {name: tensor.to(getattr(torch, to)) for name, tensor in peft_merged(base, adapter).items()}
    same(load(out).state_dict(), expected)


def test_an_adapter_of_a_quantized_base_goes_into_the_full_precision_one(bases, merged, tmp_path):
    base = bases("llama")
    adapter = save_adapter(base, tmp_path / "adapter", target_modules=["q_proj"])
    config = adapter / "adapter_config.json"
    config.write_text(config.read_text().replace(str(base), "someone/quantized-4bit"))
    same(load(merged(adapter, base=str(base))).state_dict(), peft_merged(base, adapter))


@pytest.mark.parametrize("options", [{"max_shard_size": 50_000}, {"max_shard_size": 10**9}, {}], ids=str)
def test_sharding(bases, merged, tmp_path, options):
    base = bases("llama", "bf16", "100KB")
    adapter = save_adapter(base, tmp_path / "adapter", target_modules="all-linear")
    out = merged(adapter, **options)
    files = sorted(path.name for path in out.glob("*.safetensors"))
    if options.get("max_shard_size") == 50_000:
        assert len(files) > len(list(base.glob("*.safetensors")))
    else:
        assert files == sorted(path.name for path in base.glob("*.safetensors"))
    index = json.loads((out / "model.safetensors.index.json").read_text())
    state = load(out).state_dict()
    assert index["metadata"]["total_size"] == sum(tensor.numel() * 2 for tensor in state.values())
    same(state, peft_merged(base, adapter))


@pytest.mark.parametrize(("family", "target"), [("llama", "q_proj"), ("gpt2", "c_attn")])
def test_an_adapter_that_was_trained_again_in_the_same_folder(bases, merged, tmp_path, family, target):
    base, adapter = bases(family), tmp_path / "adapter"
    for seed in (1, 2):
        save_adapter(base, adapter, seed=seed, target_modules=[target])
        same(load(merged(adapter, out=tmp_path / f"out-{seed}")).state_dict(), peft_merged(base, adapter))
