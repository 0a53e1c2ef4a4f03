"""The ``peft:`` key: what PEFT knows, what is refused, and the places of LLaMA-Factory that are hooked."""

from __future__ import annotations

import dataclasses
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lf_registry.check.rules import check_recipe
from lf_registry.errors import UserError
from lf_registry.peft_methods.fit import misfits
from lf_registry.peft_methods.live import make_config
from lf_registry.peft_methods.refused import NOT_HERE, NOT_UNDER_ZERO3, OWN_TARGETS
from lf_registry.peft_methods.schema import methods
from lf_registry.peft_methods.settings import problems, read_settings
from lf_registry.recipes import read_recipe

PREFIX = {"method": "prefix_tuning", "num_virtual_tokens": 32}
PROMPT = {"method": "prompt_tuning", "num_virtual_tokens": 8}
ENCODED = {"method": "p_tuning", "num_virtual_tokens": 8}
Z2, Z3 = "recipes/deepspeed/ds_z2.json", "recipes/deepspeed/ds_z3.json"


def test_the_methods_and_their_parameters_are_those_of_the_installed_peft():
    from peft.config import PromptLearningConfig
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    assert {name.upper() for name in methods()} == {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING}
    for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items():
        method = methods()[kind.value.lower()]
        theirs = {item.name for item in dataclasses.fields(config) if item.init}
        filled = {"auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision"}
        assert method.config == config.__name__
        assert set(method.fields) == theirs - filled - {"runtime_config", "task_type"}
        assert method.prompt == issubclass(config, PromptLearningConfig)


def test_what_is_refused_by_name_exists():
    assert (set(NOT_HERE) | set(NOT_UNDER_ZERO3) | OWN_TARGETS) <= set(methods())


def test_reading_the_methods_imports_neither_peft_nor_torch():
    code = "import sys; from lf_registry.peft_methods.settings import read_settings as r; r({'method': 'ia3'}); "
    code += "print({'peft', 'torch', 'transformers', 'llamafactory'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("value", "key", "said"),
    [
        ("prefix_tuning", "peft", "must be a mapping"),
        ([], "peft", "must be a mapping"),
        ({}, "peft.method", "the method is missing"),
        ({"method": None}, "peft.method", "PEFT has no method None"),
        ({"method": "prefix_tunning"}, "peft.method", "did you mean 'prefix_tuning'"),
        ({"method": "xlora"}, "peft.method", "xlora cannot be trained through a recipe: it mixes"),
        ({"method": "prefix_tuning"}, "peft.num_virtual_tokens", "needs to know how many"),
        ({**PREFIX, "num_virtual_tokens": 0}, "peft.num_virtual_tokens", "is 0, which means nothing"),
        ({**PREFIX, "num_virtual_tokens": "many"}, "peft.num_virtual_tokens", "'many' is a text"),
        ({**PREFIX, "prefix_projektion": True}, "peft.prefix_projektion", "has no such parameter"),
        ({**PREFIX, "prefix_projection": "yes"}, "peft.prefix_projection", "any text counts as true"),
        ({**PREFIX, "task_type": "CAUSAL_LM"}, "peft.task_type", "has no such parameter"),
        ({**PROMPT, "prompt_tuning_init": "WORDS"}, "peft.prompt_tuning_init", "'WORDS' is not one of its values"),
        ({**PROMPT, "prompt_tuning_init": "TEXT"}, "peft.prompt_tuning_init_text", "starts from the embeddings"),
        ({"method": "ia3", "target_modules": 3}, "peft.target_modules", "is a whole number"),
        ({"method": "vera", "vera_dropout": 5}, "peft.vera_dropout", "is 5; it is the share"),
        ({"method": "lora", "lora_dropout": 1.0}, "peft.lora_dropout", "is 1.0; it is the share"),
        ({**PREFIX, "num_transformer_submodules": 2}, "peft.num_transformer_submodules", "is one transformer"),
        ({"method": "adaption_prompt", "adapter_len": 4}, "peft.adapter_layers", "needs it"),
        ({"method": "adalora", "init_r": 8, "target_r": 16}, "peft.init_r", "from init_r (8) down to target_r (16)"),
        ({"method": "adalora", "target_r": 16}, "peft.init_r", "from init_r (12) down to target_r (16)"),
        ({"method": "adalora", "init_r": 8}, "peft.init_r", "from init_r (8) down to target_r (8)"),
        ({"method": "adalora", "r": 4}, "peft.r", "does not read this one"),
        ({"method": "adalora", "deltaT": 0}, "peft.deltaT", "is 0, which means nothing"),
    ],
)
def test_a_mistake_in_the_key_is_named(value, key, said):
    (found,) = problems(value)
    assert found.key == key and said in found.message, found
    with pytest.raises(UserError, match=r"^peft"):
        read_settings(value)


def test_the_fix_for_an_unknown_parameter_lists_those_that_exist():
    (found,) = problems({**PREFIX, "prefix_projektion": True})
    assert "did you mean 'prefix_projection'" in found.fix


def test_a_whole_number_is_not_asked_for_with_a_point():
    (found,) = problems({"method": "c3a", "block_size": "x"})
    assert found.fix == "write a whole number: 8"


@pytest.mark.parametrize("method", [PREFIX, {"method": "prefix_tuning"}, '{"method": "p_tuning"}'])
def test_no_other_packing_is_proposed_to_a_prompt(method, tmp_path):
    path = tmp_path / "r.yaml"
    for peft, told in ((method, False), ({"method": "ia3"}, True)):
        path.write_text(yaml.safe_dump({"stage": "sft", "packing": True, "peft": peft}), encoding="utf-8")
        found = check_recipe(read_recipe(path))
        assert any("neat_packing: true" in item.fix for item in found) == told, found


def test_a_mapping_on_the_command_line_and_pefts_own_spelling():
    assert read_settings('{"method": "PREFIX_TUNING", "num_virtual_tokens": 4}').values == {"num_virtual_tokens": 4}


GOOD = [
    ({"peft": PREFIX, "disable_gradient_checkpointing": True}),
    ({"peft": PREFIX, "disable_gradient_checkpointing": True, "deepspeed": Z3, "quantization_bit": 4}),
    ({"peft": PROMPT, "deepspeed": Z2}),
    ({"peft": {"method": "ia3"}, "quantization_bit": 4, "stage": "dpo"}),
    ({"peft": {"method": "lora", "r": 4, "use_dora": True}}),
]
BAD = [
    (PREFIX, {}, "disable_gradient_checkpointing", "PEFT refuses it"),
    (PREFIX, {"packing": True}, "packing", "2nd example of a pack"),
    (PROMPT, {"neat_packing": True}, "neat_packing", "2nd example of a pack"),
    (PROMPT, {"stage": "pt"}, "packing", "2nd example of a pack"),
    (PROMPT, {"stage": "dpo"}, "stage", "`pt` and `sft` only"),
    (PROMPT, {"compute_accuracy": True}, "compute_accuracy", "8 logits more than labels"),
    (PROMPT, {"label_smoothing_factor": 0.1}, "label_smoothing_factor", "8 logits more than labels"),
    (PROMPT, {"predict_with_generate": True}, "predict_with_generate", "pads every question"),
    (PROMPT, {"predict_with_generate": True, "do_train": False}, "per_device_eval_batch_size", "answered together"),
    (PROMPT, {"fsdp": "full_shard"}, "fsdp", "one process alone"),
    (PROMPT, {"use_llama_pro": True}, "use_llama_pro", "prompt_tuning has none"),
    (PROMPT, {"use_unsloth": True}, "use_unsloth", "would ignore `peft:`"),
    (PROMPT, {"use_dora": True}, "use_dora", "would ignore it"),
    (PROMPT, {"finetuning_type": "full"}, "finetuning_type", "exclude each other"),
    (ENCODED, {"adapter_name_or_path": "x"}, "adapter_name_or_path", "not the network"),
    ({"method": "hra"}, {"quantization_bit": 4}, "quantization_bit", "no hra for quantized weights"),
    ({"method": "delora"}, {"deepspeed": Z3}, "deepspeed", "does not train under ZeRO-3"),
    ({"method": "adalora"}, {"deepspeed": Z2}, "deepspeed", "which DeepSpeed has freed"),
    ({"method": "adalora"}, {"resume_from_checkpoint": "x"}, "resume_from_checkpoint", "does not hold the scores"),
]


def findings(tmp_path: Path, changes: dict) -> list:
    values = {"model_name_or_path": "base", "stage": "sft", "do_train": True, "finetuning_type": "lora"}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(values | changes), encoding="utf-8")
    return [found for found in check_recipe(read_recipe(tmp_path / "r.yaml")) if found.code == "peft"]


@pytest.mark.parametrize("changes", GOOD)
def test_what_works_is_not_refused(changes, tmp_path):
    assert findings(tmp_path, changes) == []


@pytest.mark.parametrize(("value", "changes", "key", "said"), BAD)
def test_what_does_not_go_together_is_refused_by_the_check(value, changes, key, said, tmp_path):
    found = findings(tmp_path, {"peft": value, **changes})
    assert any(item.where.endswith(f": {key}") and said in item.message and item.fix for item in found), found


@pytest.mark.parametrize(
    ("peft", "rate", "told"),
    [
        (PREFIX, 0.1, None),
        (PROMPT, 0.3, None),
        (PROMPT, 3.0, "prompt_tuning"),
        ({"method": "ia3"}, 0.05, None),
        ({"method": "ia3"}, 0.5, "ia3"),
        ({"method": "lora"}, 0.1, "finetuning_type: lora"),
        ({"method": "no such"}, 0.1, "finetuning_type: lora"),
        (None, 0.1, "finetuning_type: lora"),
    ],
)
def test_a_learning_rate_is_judged_by_the_method(peft, rate, told, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({"do_train": True, "learning_rate": rate, "peft": peft}), encoding="utf-8")
    found = [item.message for item in check_recipe(read_recipe(path)) if item.code == "learning-rate"]
    assert len(found) == (told is not None) and all(f"what `{told}` is trained with" in text for text in found), found


SMALL = {"vocab_size": 50, "intermediate_size": 64, "num_hidden_layers": 3, "hidden_size": 48, "head_dim": 8}
SMALL |= {"model_type": "llama", "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 64}
#: The names, and the learned positions, of GPT-2.
GPT2 = {"model_type": "gpt2", "vocab_size": 50, "n_layer": 3, "n_embd": 48, "n_head": 6, "n_positions": 64}
FOUR = {"num_virtual_tokens": 4}
#: Method, model, parameters -> the parameters that do not fit it.
SIZES = [
    ("prefix_tuning", SMALL, {"num_layers": 3, "token_dim": 48, "num_attention_heads": 6}, []),
    ("prefix_tuning", SMALL, {"token_dim": 16, "num_attention_heads": 2}, []),  # of the cache
    ("prefix_tuning", SMALL, {"num_layers": 2}, ["num_layers"]),
    ("prefix_tuning", SMALL, {"num_layers": 4}, ["num_layers"]),
    ("prefix_tuning", SMALL, {"token_dim": 24}, ["token_dim"]),
    ("prefix_tuning", GPT2, {"num_layers": 2, "num_attention_heads": 4}, ["num_layers", "num_attention_heads"]),
    ("prefix_tuning", GPT2, {"token_dim": 47}, ["token_dim"]),
    ("prefix_tuning", GPT2, {"num_virtual_tokens": 64}, ["num_virtual_tokens"]),
    ("prompt_tuning", SMALL, {"num_layers": 9, "num_attention_heads": 9}, []),
    ("prompt_tuning", SMALL, {"token_dim": 24}, ["token_dim"]),
    ("prompt_tuning", {"text_config": SMALL}, {"token_dim": 24}, ["token_dim"]),
    ("prompt_tuning", {}, {"token_dim": 24, "num_virtual_tokens": 10**6}, []),
    ("p_tuning", GPT2, {"token_dim": 24}, ["token_dim"]),
    ("p_tuning", SMALL, {"num_virtual_tokens": 63}, []),
    ("p_tuning", SMALL, {"num_virtual_tokens": 64}, ["num_virtual_tokens"]),
    ("adaption_prompt", SMALL, {"adapter_len": 4, "adapter_layers": 3}, []),
    ("adaption_prompt", SMALL, {"adapter_len": 4, "adapter_layers": 4}, ["adapter_layers"]),
]
#: PEFT says nothing: it trains a layer that does not exist, reads `head_dim` instead, and puts the text where the model
#: has never seen any.
SILENT = [SIZES[3], SIZES[4], SIZES[14]]


def settings_of(method: str, values: dict):
    return read_settings({"method": method, **({} if method == "adaption_prompt" else FOUR), **values})


@pytest.mark.parametrize(("method", "config", "values", "wrong"), SIZES)
def test_sizes_that_do_not_fit_the_model(method, config, values, wrong):
    found = list(misfits(settings_of(method, values), config))
    assert [problem.key for problem in found] == [f"peft.{key}" for key in wrong], found
    assert all(problem.message and problem.fix for problem in found)


@pytest.mark.parametrize("case", [case for case in SIZES if "model_type" in case[1]])
def test_peft_fails_on_sizes_that_do_not_fit_and_on_no_others(case):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    method, config, values, wrong = case
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    ids = torch.ones(1, 6, dtype=torch.long)

    def step() -> None:
        built = get_peft_model(model, make_config(settings_of(method, values), LoraConfig(), "unused"))
        built(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids).loss.backward()

    if wrong and case not in SILENT:
        with pytest.raises((IndexError, RuntimeError, ValueError)):
            step()
    else:
        step()


def test_a_stretched_context_is_not_held_against_the_virtual_tokens(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SMALL), encoding="utf-8")
    changes = {"model_name_or_path": str(tmp_path), "peft": {**PROMPT, "num_virtual_tokens": 64}}
    assert "fill the model's whole context (64 tokens)" in findings(tmp_path, changes)[0].message
    assert findings(tmp_path, changes | {"rope_scaling": "linear"}) == []


@pytest.mark.parametrize("at_hand", [True, False], ids=["a folder", "a model on the Hub"])
def test_a_training_whose_prompt_does_not_fit_the_model_does_not_start(at_hand, tmp_path):
    from llamafactory.hparams import get_train_args
    from llamafactory.model import adapter
    from transformers import AutoConfig

    model = tmp_path / "m"
    model.mkdir()
    values = {"model_name_or_path": str(model), "stage": "sft", "do_train": True, "dataset": "a", "template": "llama3"}
    values |= {"output_dir": str(tmp_path / "o"), "use_cpu": True, "peft": {**PROMPT, "token_dim": 24}}
    if at_hand:
        (model / "config.json").write_text(json.dumps(SMALL), encoding="utf-8")
    with pytest.raises(UserError, match=r"peft\.token_dim: the model has 48 numbers per token, not 24; remove it"):
        model_args, _, _, finetuning_args, _ = get_train_args(values)
        assert not at_hand
        adapter._setup_lora_tuning(AutoConfig.for_model(**SMALL), None, model_args, finetuning_args, True, False)


def test_keys_of_lora_that_nobody_reads(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({"peft": PREFIX, "lora_rank": 8, "lora_target": "all"}), encoding="utf-8")
    unused = {item.where.rpartition(": ")[2] for item in check_recipe(read_recipe(path)) if item.code == "no-effect"}
    assert {"lora_rank", "lora_target"} <= unused


def test_llamafactory_refuses_it_too_before_it_loads_anything(tmp_path):
    from llamafactory.hparams import get_train_args

    values = {"model_name_or_path": "x", "stage": "sft", "do_train": True, "dataset": "a", "template": "llama3"}
    values |= {"output_dir": str(tmp_path / "o"), "packing": True, "use_cpu": True, "peft": PREFIX}
    with pytest.raises(UserError) as caught:
        get_train_args(values)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "disable_gradient_checkpointing",
        "packing",
    ]
    with pytest.raises(UserError, match="PEFT has no method 'nothing'"):
        get_train_args(values | {"peft": {"method": "nothing"}})


@pytest.mark.parametrize(
    ("saved", "changes", "told"),
    [
        ({"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 6}, {"peft": PREFIX}, "trained with 6, and this recipe"),
        ({"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 32}, {"peft": PREFIX}, None),
        ({"peft_type": "LORA", "r": 8}, {"peft": PREFIX}, "holds a lora adapter, and this recipe trains prefix_tuning"),
        ({"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 6}, {}, "and this recipe trains lora"),
        ({"peft_type": "LORA", "r": 4}, {"lora_rank": 8}, "lora_rank: "),
        ({"peft_type": "LORA", "r": 8}, {"lora_rank": 8}, None),
        ({"peft_type": "LORA", "r": 4}, {"finetuning_type": "full"}, None),
        (None, {"peft": PREFIX}, None),
    ],
)
def test_a_checkpoint_of_another_method_or_size_is_refused_before_anything_is_loaded(saved, changes, told, tmp_path):
    from llamafactory.hparams import get_train_args

    checkpoint = tmp_path / "o" / "checkpoint-4"
    checkpoint.mkdir(parents=True)
    if saved is not None:
        (checkpoint / "adapter_config.json").write_text(json.dumps(saved), encoding="utf-8")
    values = {"model_name_or_path": "x", "stage": "sft", "do_train": True, "dataset": "a", "template": "llama3"}
    values |= {"output_dir": str(tmp_path / "o"), "use_cpu": True, "disable_gradient_checkpointing": True}
    values |= {"resume_from_checkpoint": str(checkpoint), "finetuning_type": "lora"}
    if told is None:
        get_train_args(values | changes)
        return
    with pytest.raises(UserError, match=told) as caught:
        get_train_args(values | changes)
    assert "overwrite_output_dir=true" in caught.value.hint


def test_the_arguments_stay_llamafactorys_own_and_can_be_sent_to_another_process():
    from llamafactory.hparams import FinetuningArguments

    arguments = FinetuningArguments(peft=PREFIX)
    again = pickle.loads(pickle.dumps(arguments))
    assert again == arguments and again.peft == PREFIX and "peft" in arguments.to_dict()
    assert FinetuningArguments.__module__ == "llamafactory.hparams.finetuning_args"
    assert FinetuningArguments().peft is None


def test_the_functions_of_llamafactory_are_still_those_that_are_hooked():
    """Fails loudly when LLaMA-Factory changes what the hook relies on."""
    import llamafactory.hparams
    from llamafactory.hparams import parser
    from llamafactory.model import adapter
    from llamafactory.train import tuner

    hook = "lf_registry.hooks.peft_methods"
    hooked = (adapter._setup_lora_tuning, parser.get_train_args, parser.get_infer_args)
    assert [function.__module__ for function in hooked] == [hook] * 3
    # Several hooks wrap the tuner, and each wrapper carries the original's name: its code says whose it is.
    wrappers, function = [], tuner._training_function
    while hasattr(function, "__wrapped__"):
        wrappers.append(Path(function.__code__.co_filename).name)
        function = function.__wrapped__
    assert wrappers.count("peft_methods.py") == 1, wrappers
    assert Path(function.__code__.co_filename) == Path(tuner.__file__)
    assert llamafactory.hparams.get_train_args is parser.get_train_args
    assert tuner.get_train_args is parser.get_train_args and parser.FinetuningArguments in parser._TRAIN_ARGS
    source = Path(adapter.__file__).read_text(encoding="utf-8")
    original = source.partition("def _setup_lora_tuning(")[2].partition("\ndef init_adapter(")[0]
    arguments = ["config", "model", "model_args", "finetuning_args", "is_trainable", "cast_trainable_params_to_fp32"]
    declared = [line.split(":")[0].strip() for line in original.partition(") ->")[0].splitlines() if ":" in line]
    assert declared == arguments
    assert original.count("model = get_peft_model(model, peft_config)") == 2
    assert original.count("PeftModel.from_pretrained(model, adapter, **init_kwargs)") == 1
    assert "model = model.merge_and_unload()" in original
    assert "_setup_lora_tuning(\n            config, model, model_args, finetuning_args, is_trainable, cast_" in source
    tuned = Path(tuner.__file__).read_text(encoding="utf-8")
    assert 'callbacks: list[Any] = config.get("callbacks")' in tuned
    assert '_training_function(config={"args": args, "callbacks": callbacks})' in tuned
    assert "finetuning_type" in inspect.getsource(parser._verify_model_args)


def test_the_parts_of_peft_that_are_replaced_are_still_called():
    """Fails loudly when PEFT saves or loads a prompt in another way."""
    from peft.peft_model import PeftModel
    from peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict

    assert "model.get_prompt_embedding_to_save(adapter_name)" in inspect.getsource(get_peft_model_state_dict)
    assert 'peft_model_state_dict["prompt_embeddings"]' in inspect.getsource(set_peft_model_state_dict)
    assert 'state_dict=kwargs.get("state_dict"' in inspect.getsource(PeftModel.save_pretrained)
