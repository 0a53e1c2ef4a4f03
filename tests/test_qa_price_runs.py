"""The recipes for extractive QA and prices, for real: learn six rows by heart, then answer them word for word.

A wrong mask, a wrong boundary in front of the answer or a stop token that is not learned cannot pass that.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import peft_runs
from conftest import ROOT
from lf_registry.compare.metrics import METRICS, chosen
from lf_registry.tiny.model import build_model, load

ROWS = 6
#: Enough for a model of this size to know six answers by heart; on a CPU there is no bf16 mixed precision.
LEARN = (
    f"max_samples={ROWS}",
    f"per_device_train_batch_size={ROWS}",
    "gradient_accumulation_steps=1",
    "num_train_epochs=20",
    "learning_rate=5e-3",
    "max_grad_norm=1",
    "lora_rank=32",
    "lora_alpha=64",
    "lora_dropout=0",
    "disable_gradient_checkpointing=true",
    "eval_strategy='no'",
    "save_strategy='no'",
    "bf16=false",
)


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    """A random tiny Llama whose tokenizer has seen the texts.

    Its weights are larger than at the start of a training: with the small ones no adapter could make a token likely,
    because the logits are at most the length of an embedding times that of a hidden state.
    """
    from transformers import AutoModelForCausalLM

    corpus = []
    for name in ("inha_qa", "price"):
        corpus += [
            text for row in json.loads((ROOT / "datasets" / f"{name}.json").read_text()) for text in row.values()
        ]
    folder = tmp_path_factory.mktemp("qa") / "base"
    build_model(folder, corpus)  # 4-bit layers on a CPU need a hidden size in steps of 64
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(6 if "embed" in name else 3 if "proj" in name else 1)
    model.save_pretrained(folder)
    return folder


def evaluation(recipe: Path) -> list[str]:
    """The command behind `Evaluate:` in a recipe's header, as somebody would copy it."""
    lines = recipe.read_text(encoding="utf-8").split("# Evaluate:")[1].split("# Override:")[0]
    text = re.sub(r"\(.*", "", re.sub(r"\n#", " ", lines), flags=re.S)
    return shlex.split(text)


def jobs_of(name: str, base: Path, folder: Path, *changes: str) -> list[list[str]]:
    """The training of a recipe, and its own evaluation on the same rows."""
    recipe, adapter, answers = ROOT / "recipes" / f"{name}.yaml", folder / f"{name}_adapter", folder / name
    model = f"model_name_or_path={base}"
    train = ["train", f"recipes/{name}.yaml", model, f"output_dir={adapter}", *LEARN, *changes]
    dataset = "price" if name.startswith("price") else "inha_qa"
    command = [
        argument.replace(f"adapter_name_or_path=outputs/{name}", f"adapter_name_or_path={adapter}").replace(
            f"output_dir=outputs/{name}_predict", f"output_dir={answers}"
        )
        for argument in evaluation(recipe)
    ]
    assert command[0] == "llamafactory-cli"
    assert f"adapter_name_or_path={adapter}" in command and f"output_dir={answers}" in command
    evaluate = [*command[1:], model, f"eval_dataset={dataset}", f"max_samples={ROWS}", "bf16=false", *changes]
    return [train, evaluate]


#: Recipe -> what it needs besides to learn six rows. The 4-bit one is slow on a CPU: make soak.
EXTRACTIVE = {
    "inha_qa_lora": ["lora_target=all", "per_device_eval_batch_size=8"],
    "inha_qa_prefix": ["num_train_epochs=50", "learning_rate=1e-1"],
    "inha_qa_qlora": ["num_train_epochs=32", "per_device_eval_batch_size=8"],
}
WITHOUT_HUB = ["push_to_hub=false", "hub_model_id=null", "hub_private_repo=null"]
PRICE = [*WITHOUT_HUB, "max_new_tokens=16", "per_device_eval_batch_size=8"]
NAMES = [name for name in EXTRACTIVE if "qlora" not in name or "LF_REGISTRY_SOAK" in os.environ]


@pytest.fixture(scope="session")
def runs(base, tmp_path_factory) -> tuple[Path, dict[str, list[str]]]:
    """(folder, recipe -> how its training and its evaluation ended): all in one process of stock LLaMA-Factory."""
    folder = tmp_path_factory.mktemp("qa_runs")
    jobs = {name: jobs_of(name, base, folder, *EXTRACTIVE[name]) for name in NAMES}
    jobs["price_qlora"] = jobs_of("price_qlora", base, folder, *PRICE)
    ended = iter(peft_runs.results([job for pair in jobs.values() for job in pair], folder, CUDA_VISIBLE_DEVICES=""))
    return folder, {name: [next(ended), next(ended)] for name in jobs}


def answers_of(name: str, runs: tuple[Path, dict[str, list[str]]]) -> list[dict[str, str]]:
    folder, ended = runs
    assert ended[name] == ["done", "done"]
    lines = (folder / name / "generated_predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def measured(metric: str, answers: list[dict[str, str]], references: list[str]) -> float:
    """The metric of ``lf-registry compare``, over all predictions."""
    score = METRICS[metric].prepare(references)
    return sum(score(answer["predict"], text) for answer, text in zip(answers, references, strict=True)) / len(answers)


@pytest.mark.parametrize("name", NAMES)
def test_extractive_answers_are_learned_word_for_word(name, runs):
    answers = answers_of(name, runs)
    rows = json.loads((ROOT / "datasets" / "inha_qa.json").read_text(encoding="utf-8"))[:ROWS]
    # The space in front of the answer is the model's own: it is learned, and the prompt ends before it.
    assert [answer["predict"] for answer in answers] == [f" {row['answer']}" for row in rows]
    references = [row["answer"] for row in rows]
    assert measured("exact_match", answers, references) == measured("f1", answers, references) == 1
    assert measured("exact_match", answers, references[::-1]) < 1
    for answer, row in zip(answers, rows, strict=True):
        text = f"### 질문: {row['question']}\n\n### 맥락: {row['context']}\n\n### 답변:"
        assert answer["prompt"].removeprefix("<|begin_of_text|>") == text
    assert load_file(runs[0] / f"{name}_adapter" / "adapter_model.safetensors")


def test_prices_are_learned_to_the_cent_in_four_bits(runs):
    answers = answers_of("price_qlora", runs)
    rows = json.loads((ROOT / "datasets" / "price.json").read_text(encoding="utf-8"))[:ROWS]
    assert [answer["predict"] for answer in answers] == [row["price"] for row in rows]
    assert [answer["label"] for answer in answers] == [row["price"] for row in rows], "in the order of the prompts"
    references = [row["price"] for row in rows]
    assert measured("mae", answers, references) == measured("rmsle", answers, references) == 0
    assert measured("within_20", answers, references) == 1 > measured("within_20", answers, references[::-1])
    assert all(answer["prompt"].endswith("\n\nPrice is $") for answer in answers)


@pytest.mark.parametrize("name", [*NAMES, "price_qlora"])
def test_the_loss_is_on_the_answer_and_its_end_alone(name, base, runs):
    """The model is nearly sure of every token of an answer and of its EOS, and has not learned the prompts."""
    from peft import PeftModel

    model, tokenizer = load(base)
    trained = PeftModel.from_pretrained(model, runs[0] / f"{name}_adapter").eval()
    prompts, learned = [], []
    for answer in answers_of(name, runs):
        prompt, text = (tokenizer(answer[key], add_special_tokens=False)["input_ids"] for key in ("prompt", "predict"))
        ids = torch.tensor([[*prompt, *text, tokenizer.eos_token_id]])
        with torch.no_grad():
            logits = trained(input_ids=ids).logits[0, :-1]
        losses = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        prompts.append(losses[: len(prompt) - 1].mean())
        learned.append(losses[len(prompt) - 1 :].max())
    assert max(learned) < 1 and min(prompts) > 5, (learned, prompts)


def test_every_recipe_says_how_it_is_evaluated():
    for name in ("inha_qa_qlora", "inha_qa_lora", "inha_qa_prefix", "price_qlora"):
        command = evaluation(ROOT / "recipes" / f"{name}.yaml")
        assert command[:3] == ["llamafactory-cli", "train", f"recipes/{name}.yaml"]
        assert all("=" in argument for argument in command[3:])
        assert {"do_train=false", "do_predict=true", "predict_with_generate=true", "do_sample=false"} <= set(command)
        header = (ROOT / "recipes" / f"{name}.yaml").read_text(encoding="utf-8").partition("\n\n###")[0]
        told = shlex.split(" ".join(header.replace("\n#", " ").partition("lf-registry compare ")[2].split("(")[:1]))
        options = dict(zip(told[::2], told[1::2], strict=True))
        assert options["--recipe"] == f"recipes/{name}.yaml" and chosen([options["--metric"]])
        assert f"max_new_tokens={options['--max-new-tokens']}" in command
