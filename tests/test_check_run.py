"""The whole check, and the command, on complete models and real data."""

from __future__ import annotations

import json
import random

import pytest
import yaml

from conftest import ROOT
from lf_registry.check.run import run_check
from lf_registry.recipes import read_recipe

TRAIN = sorted((ROOT / "recipes").glob("*.yaml"))
REAL = ROOT.parent / "shared" / "data" / "korean_chatbot_qa.csv"


@pytest.fixture(scope="session")
def models(bundled_texts, qwen2, tmp_path_factory):
    """Complete tiny models: a Llama, and a Qwen2 with a Qwen2-style tokenizer."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from lf_registry.tiny.model import build_model

    llama, qwen = tmp_path_factory.mktemp("llama"), tmp_path_factory.mktemp("qwen")
    build_model(llama, bundled_texts, hidden=48, layers=1)
    qwen2.save_pretrained(qwen)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    Qwen2ForCausalLM(Qwen2Config(vocab_size=len(qwen2), num_key_value_heads=2, **small)).save_pretrained(qwen)
    return {"llama": str(llama), "qwen": str(qwen)}


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.stem)
def test_a_shipped_recipe_has_no_findings(models, path):
    model = models["qwen" if "qwen" in read_recipe(path).values["template"] else "llama"]
    report = run_check(path.relative_to(ROOT), [f"model_name_or_path={model}"])
    assert report.findings == [] and report.not_checked == []
    assert [dataset.split for dataset in report.datasets] == ["train", "eval"]
    assert all(dataset.kept == dataset.rows and dataset.cut_rows == 0 for dataset in report.datasets)
    assert len(report.checked) == 3, "the model folder, and parity of both data sets"


def test_without_a_tokenizer_the_rest_is_checked(models):
    report = run_check("recipes/ironman_lora.yaml", ["model_name_or_path=nobody/no-such-model"])
    assert report.findings == []
    assert [dataset.kept for dataset in report.datasets] == [297, 40]
    assert report.datasets[0].tokens is None
    (missing,) = report.not_checked
    assert "hf download nobody/no-such-model" in missing


def test_what_only_llamafactory_itself_refuses(models, monkeypatch):
    monkeypatch.setattr("lf_registry.check.run.check_recipe", lambda recipe: [])
    report = run_check(
        "recipes/ironman_lora.yaml", [f"model_name_or_path={models['llama']}", "stage=rm", "predict_with_generate=true"]
    )
    assert report.errors[0].code == "refused"


def test_a_key_that_the_data_depends_on(models):
    report = run_check("recipes/ironman_lora.yaml", [f"model_name_or_path={models['llama']}", "cutoff_len=viele"])
    assert report.errors and report.datasets == []
    assert report.not_checked == ["the template and the data: correct cutoff_len first"]


def test_tokenized_data_is_what_llamafactory_trains_on(models, project):
    project("tokens/dataset_dict.json", "{}")
    report = run_check(
        ROOT / "recipes" / "ironman_lora.yaml",
        [f"model_name_or_path={models['llama']}", f"dataset_dir={ROOT}", "tokenized_path=tokens"],
    )
    assert "tokenized_path tokens exists" in report.not_checked[0] and report.datasets == []


def _rows(number: int) -> list[dict]:
    words = [
        word
        for text in json.loads((ROOT / "datasets" / "ironman.json").read_text("utf-8"))
        for word in str(text).split()
    ]
    chosen = random.Random(0)
    rows = [
        {"instruction": " ".join(chosen.choices(words, k=6)), "output": " ".join(chosen.choices(words, k=9))}
        for _ in range(number)
    ]
    rows[1500] = dict(rows[3])
    rows[2200] = {"instruction": rows[7]["instruction"] + "!", "output": rows[7]["output"]}
    rows[1234]["output"] = ""
    return rows


def test_two_processes_find_what_one_finds(models, project):
    project("data.json", _rows(2300))
    info = {"d": {"file_name": "data.json", "columns": {"prompt": "instruction", "response": "output"}}}
    project("dataset_info.json", info)
    overrides = [f"model_name_or_path={models['llama']}", "dataset=d", "eval_dataset=null", "eval_strategy='no'"]
    recipe = ROOT / "recipes" / "kanana_qa_full.yaml"
    one, two = (
        run_check(recipe, [*overrides, f"deepspeed={ROOT}/recipes/deepspeed/ds_z3.json"], workers=n, previews=3)
        for n in (1, 2)
    )
    assert one.datasets == two.datasets and one.findings == two.findings and one.samples == two.samples
    rows = {finding.code: finding.rows for finding in one.findings}
    assert rows["duplicate-rows"] == (1501,) and rows["near-duplicate-rows"] == (2201,)
    assert rows["empty-answer"] == (1235,)
    assert [sample.row for sample in one.samples] == [1, 767, 1534]


def test_the_keys_alone_import_nothing_heavy(python):
    code = (
        "import sys; from lf_registry.check.run import run_check\n"
        "report = run_check('recipes/ironman_lora.yaml', data=False)\n"
        "print(report.findings, [m for m in ('torch', 'transformers', 'llamafactory', 'datasets') if m in sys.modules])"
    )
    assert python(code).stdout == "[] []\n"


@pytest.mark.skipif(not REAL.is_file(), reason="the real Korean data is not beside this checkout")
def test_real_korean_data_with_the_real_tokenizer(project, llama3, tmp_path):
    from transformers import LlamaConfig

    from lf_registry.convert import convert
    from lf_registry.convert_options import ReadOptions

    convert(REAL, "chat", root=project.root, options=ReadOptions(columns={"prompt": "Q", "response": "A"}))
    llama3.save_pretrained(tmp_path / "model")
    LlamaConfig(vocab_size=len(llama3)).save_pretrained(tmp_path / "model")
    recipe = {"model_name_or_path": "model", "dataset": "chat", "dataset_dir": ".", "template": "llama3-ironman"}
    project(
        "recipe.yaml", yaml.safe_dump({**recipe, "stage": "sft", "do_train": True, "output_dir": "out", "bf16": True})
    )
    report = run_check("recipe.yaml")
    (dataset,) = report.datasets
    assert (dataset.rows, dataset.kept) == (6000, 6000)
    assert "in all 6,000 rows" in report.checked[-1]
    assert {finding.code for finding in report.findings if finding.where == "dataset chat"} == {
        "duplicate-rows",
        "near-duplicate-rows",
    }
