"""LLaMA-Factory and Transformers refuse what is refused here, and take the rest."""

from __future__ import annotations

import re

import pytest

from broken_recipes import BROKEN, CLEAN, headers, stem
from conftest import ROOT
from lf_registry.recipes import read_recipe


@pytest.mark.parametrize("path", [path for path in BROKEN if headers(path, "llamafactory")], ids=stem)
def test_llamafactory_refuses_it_too(path, one_process):
    from llamafactory.hparams.parser import get_train_args
    from transformers.integrations import HfDeepSpeedConfig, unset_hf_deepspeed_config

    values = dict(read_recipe(path).values)
    zero = None
    if (
        "ZeRO-3" in headers(path, "llamafactory")[0]
    ):  # DeepSpeed itself takes a minute to start; this is all that is asked
        zero = HfDeepSpeedConfig(values.pop("deepspeed"))
    try:
        with pytest.raises(Exception, match=re.escape(headers(path, "llamafactory")[0])):
            get_train_args(values)
    finally:
        unset_hf_deepspeed_config()
        del zero


def test_the_base_of_the_broken_recipes_is_good_for_llamafactory(one_process):
    """So that what the others are refused for is the one thing in which they differ."""
    from llamafactory.hparams.parser import get_train_args

    values = dict(read_recipe(ROOT / "tests" / "clean_recipes" / "base.yaml").values)
    assert get_train_args(values)[2].do_train


@pytest.mark.parametrize("path", CLEAN, ids=stem)
def test_llamafactory_takes_a_clean_recipe(path, one_process):
    from llamafactory.hparams.parser import get_train_args

    values = dict(read_recipe(path).values)
    values.pop("deepspeed", None)  # takes a minute to start
    assert get_train_args(values)


MISMATCHES = [path for path in BROKEN if "deepspeed-mismatch" in headers(path, "expect")[0]]


@pytest.mark.parametrize("path", MISMATCHES, ids=stem)
def test_transformers_sees_the_same_mismatch(path, one_process, tmp_path):
    """The comparison that ends in «Please correct the following DeepSpeed config values»."""
    from transformers import TrainingArguments
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig, unset_hf_deepspeed_config

    values = read_recipe(path).values
    names = ("per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate", "bf16")
    arguments = TrainingArguments(str(tmp_path), **{name: values[name] for name in names})
    real = HfTrainerDeepSpeedConfig(values["deepspeed"])
    real.trainer_config_process(arguments)
    unset_hf_deepspeed_config()
    assert len(real.mismatches) == 1
    assert headers(path, "expect")[0].split()[-1] in real.mismatches[0]


def test_llamafactory_treats_the_folder_as_we_say(checkpoints, one_process):
    from llamafactory.hparams.parser import get_train_args

    with pytest.raises(ValueError, match="already exists and is not empty"):
        get_train_args(dict(checkpoints("adapter_model.safetensors").values))
    resumed = get_train_args(dict(checkpoints("checkpoint-5/x", "checkpoint-20/x").values))[2]
    assert resumed.resume_from_checkpoint.endswith("checkpoint-20")


@pytest.mark.parametrize(("ratio", "steps"), [(0.1, 10), (1.0, 1)])
def test_what_the_installed_transformers_makes_of_a_deprecated_key(tmp_path, ratio, steps):
    """What the rules of ``rules_deprecated.py`` say of ``warmup_ratio``."""
    from transformers import TrainingArguments

    old = TrainingArguments(output_dir=str(tmp_path), warmup_ratio=ratio)
    assert old.warmup_steps == ratio
    assert old.get_warmup_steps(100) == steps
