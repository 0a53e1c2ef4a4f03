"""Parameter counts from config.json against the real models and adapters, built on the meta device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lf_registry.errors import UserError
from lf_registry.estimate.configs import BUNDLED, bundled_models, load_shape
from lf_registry.estimate.families import FAMILIES
from lf_registry.estimate.read_shape import read_shape
from lf_registry.estimate.setup import read_setup
from lf_registry.estimate.trainable import read_trainable
from lf_registry.models import load_models
from lf_registry.recipes import Recipe

CONFIGS = {path.read_text(): path for path in sorted(BUNDLED.glob("*.json"))}
#: Parameters that the Hub shows for a model's safetensors files.
PUBLISHED = {
    "allganize/Llama-3-Alpha-Ko-8B-Instruct": 8_030_261_248,
    "Qwen/Qwen2-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "mistralai/Mixtral-8x7B-v0.1": 46_702_792_704,
    "google/gemma-2-9b": 9_241_705_984,
    "google/gemma-3-1b-it": 999_885_952,
    "LGAI-EXAONE/EXAONE-3.5-7.8B-Instruct": 7_818_448_896,
    "LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct": 2_405_327_360,
    "LGAI-EXAONE/EXAONE-4.0-32B": 32_003_216_384,
}
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
}
BIASED = {"llama": {"attention_bias": True, "mlp_bias": True}, "qwen3": {"attention_bias": True}}
FAMILY_CONFIGS = [
    {"model_type": name, **SMALL, **extra, "tie_word_embeddings": tied}
    for name in FAMILIES
    if name != "exaone"  # its code is on the Hub, not in Transformers
    for tied in (True, False)
    for extra in ({}, {"head_dim": 32}, *([BIASED[name]] if name in BIASED else []))
    if not (name == "qwen3_moe" and extra)
]
for _config in FAMILY_CONFIGS:
    if _config["model_type"] == "mixtral":
        _config |= {"num_local_experts": 4}
    if _config["model_type"] == "qwen3_moe":
        _config |= {"num_experts": 4, "moe_intermediate_size": 48}


def build(config: dict):
    """The real model, without memory. (Transformers 5.5 refuses some head counts that LlamaAttention can take.)"""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = AutoConfig.for_model(**config | {"num_attention_heads": config["num_key_value_heads"]})
    settings.num_attention_heads = config["num_attention_heads"]
    if "head_dim" not in config and hasattr(settings, "head_dim"):
        fixed = FAMILIES[config["model_type"]].head_dim
        settings.head_dim = fixed or config["hidden_size"] // config["num_attention_heads"]
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(settings)


def setup_of(**values):
    return read_setup(Recipe(Path("r.yaml"), {"model_name_or_path": "m", "bf16": True} | values))


# A base model and its instruct model often have the same file; each content is built once.
@pytest.mark.parametrize(
    "path", {path.read_text(): path for path in CONFIGS.values()}.values(), ids=lambda path: path.stem
)
def test_a_bundled_config_has_the_parameters_of_the_real_model(path):
    config = json.loads(path.read_text())
    shape = read_shape(config, path.stem)
    if config["model_type"] != "exaone":
        assert shape.parameters == sum(parameter.numel() for parameter in build(config).parameters())


@pytest.mark.parametrize("model", PUBLISHED)
def test_a_bundled_config_has_the_parameters_that_the_hub_shows(model):
    assert load_shape(model).parameters == PUBLISHED[model]


@pytest.mark.parametrize("config", FAMILY_CONFIGS, ids=lambda config: f"{config['model_type']}-{len(config)}")
def test_every_family_counts_exactly(config):
    model = build(config)
    shape = read_shape(config, "small")
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    counted = {f"{shape.layer_prefix}.1.{name}": elements for part in shape.layer for name, elements in part.tensors()}
    real = {name: tensor.numel() for name, tensor in model.named_parameters() if ".layers.1." in name}
    assert counted == real


ADAPTERS = [
    {"lora_target": "all", "lora_rank": 16},
    {"lora_target": "q_proj,v_proj", "lora_rank": 8},
    {"lora_target": ["k_proj", "o_proj"], "lora_rank": 4, "use_dora": True},
    {"lora_target": "q_proj", "lora_rank": 8, "additional_target": "embed_tokens,lm_head"},
    {"lora_target": "all", "lora_rank": 2, "additional_target": "norm"},
    {"lora_target": "q_proj,lm_head", "lora_rank": 8},
    {"finetuning_type": "oft", "oft_target": "all"},
    {"finetuning_type": "oft", "oft_target": "q_proj,v_proj", "oft_block_size": 16},
]


@pytest.mark.parametrize("values", ADAPTERS, ids=str)
@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "gemma3_text", "exaone4", "mixtral"])
def test_an_adapter_has_the_parameters_that_peft_makes(model_type, values):
    from peft import LoraConfig, OFTConfig, get_peft_model

    config = next(c for c in FAMILY_CONFIGS if c["model_type"] == model_type and not c["tie_word_embeddings"])
    setup = setup_of(**values)
    shape = read_shape(config, "small")
    targets = list(setup.lora_target)
    if targets == ["all"]:  # what LLaMA-Factory's find_all_linear_modules finds
        model = build(config)
        names = {name for name, module in model.named_modules() if "Linear" in type(module).__name__}
        targets = sorted({name.rpartition(".")[2] for name in names if "lm_head" not in name})
    common = {"target_modules": targets, "modules_to_save": list(setup.additional_target) or None}
    if setup.method == "oft":
        peft_config = OFTConfig(r=0, oft_block_size=values.get("oft_block_size", 32), **common)
    else:
        peft_config = LoraConfig(r=setup.lora_rank, use_dora=values.get("use_dora", False), **common)
    model = get_peft_model(build(config), peft_config)
    real = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert read_trainable(shape, setup).parameters == real


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"freeze_trainable_layers": -1},
        {"freeze_trainable_modules": "mlp"},
        {"freeze_extra_modules": "embed_tokens"},
    ],
    ids=str,
)
def test_freeze_trains_what_llamafactory_leaves_open(values):
    from llamafactory.hparams import FinetuningArguments
    from llamafactory.model.adapter import _setup_freeze_tuning

    config = next(c for c in FAMILY_CONFIGS if c["model_type"] == "llama")
    model = build(config)
    _setup_freeze_tuning(model, FinetuningArguments(finetuning_type="freeze", **values), True, False)
    real = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    setup = setup_of(finetuning_type="freeze", **values)
    assert read_trainable(read_shape(config, "small"), setup).parameters == real


def test_models_of_the_web_ui_are_bundled_but_for_one_family():
    """The shapes of these two could not be confirmed from public sources; the Hub's config.json is taken instead."""
    missing = {model.path for model in load_models().values()} - set(bundled_models())
    assert missing == {
        "kakaocorp/kanana-1.5-15.7b-a3b-base",
        "kakaocorp/kanana-1.5-15.7b-a3b-instruct",
    }


def test_all_missing_keys_are_named_at_once():
    with pytest.raises(UserError) as caught:
        read_shape({"model_type": "llama", "hidden_size": 64, "vocab_size": "many"}, "x/config.json")
    for key in ("intermediate_size", "num_attention_heads", "num_hidden_layers", "vocab_size"):
        assert f"x/config.json: {key}:" in str(caught.value)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "lama"}, "did you mean 'llama'"),
        ({"model_type": "llava", "vision_config": {}}, "only text models"),
        ({"model_type": "llama", **SMALL, "quantization_config": {"bits": 4}}, "quantized already"),
        ({}, "model_type: is missing"),
    ],
)
def test_what_is_not_estimated_is_said(config, said):
    with pytest.raises(UserError, match=said):
        read_shape(config, "config.json")


def test_a_local_folder_and_the_hub_cache_are_read(tmp_path):
    config = FAMILY_CONFIGS[0]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_shape(str(tmp_path)).parameters == read_shape(config, "x").parameters
    snapshot = tmp_path / "cache" / "models--me--mine" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(config))
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("abc")
    assert load_shape("me/mine", cache_dir=str(tmp_path / "cache")).layers == 3


def test_an_unknown_model_offline_says_what_to_type(tmp_path):
    with pytest.raises(UserError, match=r"hf download me/unknown config\.json"):
        load_shape("me/unknown", cache_dir=str(tmp_path))
    with pytest.raises(UserError, match="does not exist"):
        load_shape("./outputs/none")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"has no config\.json"):
        load_shape(str(tmp_path))
