"""PEFT's methods for real: stock ``llamafactory-cli`` on a tiny model, from the first step to the right answer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import peft_models
import peft_runs
from conftest import ROOT

METHODS = {
    "prefix_tuning": (0.1, {"num_virtual_tokens": 8}),
    "prompt_tuning": (0.2, {"num_virtual_tokens": 8}),
    "p_tuning": (0.003, {"num_virtual_tokens": 8, "encoder_hidden_size": 32}),
    "ia3": (0.05, {}),
}
#: Where a network makes the prompt: name -> learning rate, settings.
ENCODED = {
    "p_tuning": METHODS["p_tuning"],
    "prefix_tuning": (0.003, {"num_virtual_tokens": 4, "prefix_projection": True, "encoder_hidden_size": 16}),
}
SHORT = {"max_steps": 8, "save_steps": 4, "lr_scheduler_type": "constant"}
ADALORA = {"method": "adalora", "init_r": 4, "target_r": 2, "tinit": 2, "tfinal": 2}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """(folder, job name -> result) of everything that is run."""
    folder = tmp_path_factory.mktemp("peft")
    base = str(peft_models.build(folder))
    jobs = {}
    for name, (rate, values) in METHODS.items():
        path = peft_models.recipe(folder, name, learning_rate=rate, max_steps=60, peft={"method": name, **values})
        jobs[name] = ["train", path]
        jobs[f"chat {name}"] = ["chat", base, str(folder / name)]
    for name, (rate, values) in ENCODED.items():
        settings = {"learning_rate": rate, "peft": {"method": name, **values}, **SHORT}
        jobs[f"{name} through"] = ["train", peft_models.recipe(folder, f"{name} through".replace(" ", "_"), **settings)]
        settings["resume_from_checkpoint"] = str(folder / f"{name}_through" / "checkpoint-4")
        jobs[f"{name} resumed"] = ["train", peft_models.recipe(folder, f"{name}_resumed", **settings)]
    jobs["adalora"] = ["train", peft_models.recipe(folder, "adalora", learning_rate=0.01, peft=ADALORA, **SHORT)]
    jobs["adalora resumed"] = ["train", str(folder / "adalora.yaml"), "max_steps=16"]
    wrong = peft_models.recipe(folder, "wrong", peft={**ADALORA, "tinit": 20}, **SHORT)
    jobs["adalora wrong"] = ["train", wrong]
    common = [f"model_name_or_path={base}", "template=llama3", f"export_dir={folder / 'merged'}"]
    (folder / "export.yaml").write_text("export_size: 5\n", encoding="utf-8")
    jobs["export"] = [
        "export",
        str(folder / "export.yaml"),
        *common,
        f"adapter_name_or_path={folder / 'prefix_tuning'}",
    ]
    for name in ("prefix_tuning", "ia3"):
        if find_spec("jieba") is None:
            continue
        settings = {"do_train": False, "do_predict": True, "predict_with_generate": True, "eval_dataset": "facts"}
        settings |= {"adapter_name_or_path": str(folder / name), "max_new_tokens": 12, "do_sample": False}
        settings["per_device_eval_batch_size"] = 1
        jobs[f"predict {name}"] = ["train", peft_models.recipe(folder, f"predict_{name}", dataset=None, **settings)]
    if find_spec("jieba") is not None:
        jobs["predict together"] = ["train", str(folder / "predict_prefix_tuning.yaml"), "per_device_eval_batch_size=4"]
    return folder, dict(zip(jobs, peft_runs.results(list(jobs.values()), folder), strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_the_answers_are_learned_by_heart_and_given_back_in_a_chat(runs, name):
    _, results = runs
    assert results[name] == "done"
    assert results[f"chat {name}"] == list(peft_models.ANSWERS.values())


def test_the_model_gives_none_of_these_answers_before(runs):
    folder, _ = runs
    assert not set(zip(peft_models.ANSWERS.values(), answers(folder / "base", None), strict=True)) & {
        (answer, answer) for answer in peft_models.ANSWERS.values()
    }


def answers(base: Path, adapter: Path | None) -> list[str]:
    model, tokenizer = loaded(base, adapter)
    found = []
    for question in peft_models.ANSWERS:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = model.generate(**ids, max_new_tokens=12, do_sample=False, pad_token_id=tokenizer.eos_token_id)
        found.append(tokenizer.decode(made[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))
    return found


def loaded(base: Path, adapter: Path | None):
    from peft import PeftModel

    from lf_registry.tiny.model import load

    model, tokenizer = load(base)
    return (PeftModel.from_pretrained(model, adapter) if adapter else model).eval(), tokenizer


@pytest.mark.parametrize("name", METHODS)
def test_plain_peft_loads_what_was_trained_and_answers_the_same(runs, name):
    folder, _ = runs
    assert answers(folder / "base", folder / name) == list(peft_models.ANSWERS.values())


@pytest.mark.parametrize("name", METHODS)
def test_plain_peft_and_llamafactory_give_the_same_logits(runs, name):
    from llamafactory.hparams import get_infer_args
    from llamafactory.model import load_model, load_tokenizer

    folder, _ = runs
    settings = {"model_name_or_path": str(folder / "base"), "template": "llama3", "infer_dtype": "float32"}
    arguments = get_infer_args(settings | {"adapter_name_or_path": str(folder / name)})
    theirs = load_model(load_tokenizer(arguments[0])["tokenizer"], arguments[0], arguments[2])
    ours, tokenizer = loaded(folder / "base", folder / name)
    ids = tokenizer(next(iter(peft_models.ANSWERS)), return_tensors="pt")
    with torch.no_grad():
        first, second = (model(**ids, use_cache=False).logits for model in (theirs, ours))
        base = loaded(folder / "base", None)[0](**ids).logits
    assert torch.allclose(first, second, atol=1e-5)
    assert not torch.allclose(second[:, -base.shape[1] :], base, atol=0.1)


@pytest.mark.parametrize("name", ENCODED)
def test_a_resumed_training_ends_where_the_whole_one_does(runs, name):
    from safetensors.torch import load_file

    folder, results = runs
    assert results[f"{name} through"] == results[f"{name} resumed"] == "done"
    whole, resumed = (
        load_file(folder / f"{name}_{how}" / "adapter_model.safetensors")["prompt_embeddings"]
        for how in ("through", "resumed")
    )
    before = load_file(folder / f"{name}_through" / "checkpoint-4" / "adapter_model.safetensors")["prompt_embeddings"]
    assert torch.allclose(whole, resumed, atol=1e-6)
    assert not torch.allclose(whole, before, atol=1e-3)


def test_adalora_comes_down_to_its_target(runs):
    folder, results = runs
    assert results["adalora"] == "done"
    config = json.loads((folder / "adalora" / "adapter_config.json").read_text())
    ranks = [sum(pattern) for pattern in config["rank_pattern"].values()]
    assert config["total_step"] == 8
    assert sum(ranks) == 2 * len(ranks) < 4 * len(ranks), ranks
    assert loaded(folder / "base", folder / "adalora")


def test_adalora_is_not_resumed_and_needs_a_schedule_that_fits(runs):
    _, results = runs
    assert "resume_from_checkpoint: a checkpoint of AdaLoRA does not hold the scores" in results["adalora resumed"]
    assert "does not fit into 8 steps: tinit 20, tfinal 2" in results["adalora wrong"]


def test_a_prefix_is_not_merged(runs):
    folder, results = runs
    assert "a prefix_tuning adapter cannot be merged: it has no change of the model's weights" in results["export"]
    assert not (folder / "merged").exists()


@pytest.mark.skipif(find_spec("jieba") is None, reason="LLaMA-Factory predicts only with jieba, nltk, rouge-chinese")
@pytest.mark.parametrize("name", ["prefix_tuning", "ia3"])
def test_do_predict_answers_exactly(runs, name):
    folder, results = runs
    assert results[f"predict {name}"] == "done"
    lines = (folder / f"predict_{name}" / "generated_predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["predict"] for row in rows] == [row["label"] for row in rows] == list(peft_models.ANSWERS.values())


@pytest.mark.skipif(find_spec("jieba") is None, reason="LLaMA-Factory predicts only with jieba, nltk, rouge-chinese")
def test_a_prefix_is_not_asked_several_questions_at_once(runs):
    assert "write `per_device_eval_batch_size: 1`" in runs[1]["predict together"]


def test_a_prefix_is_trained_and_saved_under_zero3(runs):
    """Without the hook, the process that saves waits for the others until the end of time."""
    from safetensors.torch import load_file

    folder, _ = runs
    rate, values = ENCODED["prefix_tuning"]
    settings = {"learning_rate": rate, "per_device_train_batch_size": 4, "peft": {"method": "prefix_tuning", **values}}
    path = peft_models.recipe(folder, "zero3", max_steps=2, use_cpu=False, **settings)
    # What `llamafactory-cli train` starts for two processes, without the seconds that it needs itself (test_zero3.py).
    launcher = find_spec("llamafactory").submodule_search_locations[0] + "/launcher.py"
    torchrun = [str(Path(sys.executable).parent / "torchrun"), "--standalone", "--nproc_per_node", "2", launcher]
    command = [*torchrun, path, "deepspeed=recipes/deepspeed/ds_z3.json"]
    training = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, said = training.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        training.terminate()  # torchrun ends its two processes, which would wait for each other for ever
        training.communicate()
        raise
    assert training.returncode == 0, said[-4000:]
    saved = load_file(folder / "zero3" / "adapter_model.safetensors")["prompt_embeddings"]
    assert saved.shape == (4, 2 * 2 * 96) and torch.isfinite(saved).all() and saved.abs().max() > 0
    shutil.rmtree(folder / "zero3")


SPLIT = {
    "c3a": {"block_size": 32, "init_weights": "xavier_uniform"},
    "vblora": {"num_vectors": 16, "vector_length": 32, "r": 2, "topk": 2},
}


@pytest.mark.skipif("LF_REGISTRY_SOAK" not in os.environ, reason="two minutes of two cores: make soak")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SPLIT)
def test_zero3_trains_what_one_process_trains(runs, name):
    """With a threshold of 0 nothing is small enough to stay whole in every process, as it would in so small a model."""
    from safetensors.torch import load_file

    folder, _ = runs
    zero = json.loads((ROOT / "recipes" / "deepspeed" / "ds_z3.json").read_text(encoding="utf-8"))
    zero["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    (folder / "split.json").write_text(json.dumps(zero), encoding="utf-8")
    settings = {"max_steps": 4, "learning_rate": 0.01, "lr_scheduler_type": "constant", "lora_target": "all"}
    settings["peft"] = {"method": name, **SPLIT[name]}
    saved = {}
    for how, processes, batch in (("one", "1", 8), ("split", "2", 4)):
        path = peft_models.recipe(
            folder, f"{name}_{how}", use_cpu=how == "one", per_device_train_batch_size=batch, **settings
        )
        command = [str(Path(sys.executable).parent / "llamafactory-cli"), "train", path]
        command += [f"deepspeed={folder / 'split.json'}"] if how == "split" else []
        environment = os.environ | {"NPROC_PER_NODE": processes, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        saved[how] = load_file(folder / f"{name}_{how}" / "adapter_model.safetensors")
    assert saved["one"].keys() == saved["split"].keys()
    for key, tensor in saved["one"].items():
        assert torch.allclose(tensor, saved["split"][key], atol=1e-4), key
