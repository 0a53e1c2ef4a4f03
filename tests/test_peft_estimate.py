"""The parameters that ``estimate`` counts are those that PEFT trains."""

from __future__ import annotations

import json

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from lf_registry.errors import UserError
from lf_registry.estimate.disk import estimate_disk
from lf_registry.estimate.read_shape import read_shape
from lf_registry.estimate.report import method_name
from lf_registry.estimate.setup import read_setup
from lf_registry.estimate.trainable import read_trainable
from lf_registry.estimate.trainable_peft import COUNTED
from lf_registry.peft_methods.live import make_config
from lf_registry.peft_methods.settings import read_settings
from lf_registry.recipes import read_recipe

CONFIG = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4}
CONFIG |= {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": 64, "tie_word_embeddings": True}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = [
    {"method": "prefix_tuning", "num_virtual_tokens": 5},
    {"method": "prefix_tuning", "num_virtual_tokens": 5, "prefix_projection": True, "encoder_hidden_size": 7},
    {"method": "prefix_tuning", "num_virtual_tokens": 5, "prefix_projection": True},
    {"method": "prompt_tuning", "num_virtual_tokens": 5},
    {"method": "p_tuning", "num_virtual_tokens": 5},
    {"method": "p_tuning", "num_virtual_tokens": 5, "encoder_hidden_size": 9},
    {"method": "ia3"},
    {"method": "ia3", "target_modules": ["k_proj", "v_proj", "down_proj"]},
    {"method": "vera", "r": 16},
    {"method": "adalora", "init_r": 4, "target_r": 2},
    {"method": "lora", "r": 4, "use_dora": True, "target_modules": ["q_proj", "down_proj"]},
]


def recipe(folder, peft):
    (folder / "config.json").write_text(json.dumps({**CONFIG, "model_type": "llama"}), encoding="utf-8")
    (folder / "r.yaml").write_text(yaml.safe_dump({"model_name_or_path": str(folder), "peft": peft}), encoding="utf-8")
    return read_setup(read_recipe(folder / "r.yaml"))


@pytest.mark.parametrize("peft", CASES, ids=lambda peft: "-".join(map(str, peft.values())))
def test_counted_is_what_peft_trains(peft, tmp_path):
    from peft import LoraConfig, get_peft_model

    settings = read_settings(peft)
    with torch.device("cpu"):
        model = get_peft_model(
            LlamaForCausalLM(LlamaConfig(**CONFIG)), make_config(settings, LoraConfig(target_modules=LINEAR), "x")
        )
    counted = read_trainable(read_shape({**CONFIG, "model_type": "llama"}, "config.json"), recipe(tmp_path, peft))
    assert counted.parameters == model.get_nb_trainable_parameters()[0]


def test_every_counted_method_is_compared_with_peft():
    assert {case["method"] for case in CASES} == set(COUNTED)


def test_what_is_not_counted_is_said(tmp_path):
    with pytest.raises(UserError, match="peft: boft is not estimated"):
        read_trainable(
            read_shape({**CONFIG, "model_type": "llama"}, "config.json"), recipe(tmp_path, {"method": "boft"})
        )


@pytest.mark.parametrize(("peft", "name", "merged"), [(CASES[0], "prefix_tuning", False), (CASES[6], "ia3", True)])
def test_the_method_is_named_and_a_prompt_is_not_merged(peft, name, merged, tmp_path):
    setup = recipe(tmp_path, peft)
    shape = read_shape({**CONFIG, "model_type": "llama"}, "config.json")
    assert bool(estimate_disk(shape, setup, None).merged) == merged
    assert method_name(setup) == name
