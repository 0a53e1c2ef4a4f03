"""Every broken dataset of ``broken/data``, through the whole check with a tokenizer of Llama 3's kind."""

from __future__ import annotations

import json
from functools import cache

import pytest
import yaml

from conftest import ROOT
from lf_registry.check.run import run_check
from lf_registry.check.tally import KINDS

CASES = sorted((ROOT / "tests" / "broken" / "data").glob("*.yaml"))
#: Rows that are all right, so that every finding is about the broken ones.
ENTRY = {"columns": {"prompt": "instruction", "response": "output"}}


@pytest.fixture(scope="session")
def model(bundled_texts, tmp_path_factory):
    """A function that makes a model folder without weights, with some chat template and spare embeddings."""
    from transformers import LlamaConfig

    from lf_registry.tiny.model import build_tokenizer

    tokenizer = build_tokenizer(bundled_texts)

    @cache
    def make(chat_template: str | None, spare: int):
        folder = tmp_path_factory.mktemp("model")
        tokenizer.save_pretrained(folder)
        if chat_template:
            (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
        config = LlamaConfig(
            vocab_size=len(tokenizer) + spare, hidden_size=64, num_hidden_layers=1, num_attention_heads=2
        )
        config.save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def check(project, model, monkeypatch):
    """Write a case's files and check its recipe."""
    # Whether the weights are there is another test's business.
    monkeypatch.setattr("lf_registry.check.run._check_model", lambda report: None)

    def run(case: dict, **options):
        info = {}
        for name, key in (("data", "rows"), ("held_out", "eval")):
            text = case.get("text") if name == "data" else None
            if text is None and key not in case:
                continue
            file = case.get("file", f"{name}.json")
            content = text or json.dumps(case[key], ensure_ascii=False)
            (project.root / file).write_text(content, encoding=case.get("encoding", "utf-8"))
            info[name] = {"file_name": file, **case.get("entry", ENTRY)}
        project("dataset_info.json", info)
        recipe = {
            "model_name_or_path": str(model(case.get("chat_template"), case.get("spare_embeddings", 0))),
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "lora",
            "dataset": "data",
            "eval_dataset": "held_out" if "eval" in case else None,
            "eval_strategy": "epoch",
            "val_size": None if "eval" in case else 0.5,
            "dataset_dir": ".",
            "template": "llama3-short",
            "output_dir": "out",
            "bf16": True,
            **case.get("recipe", {}),
        }
        project("templates/llama3-short.yaml", "name: llama3-short\nextends: llama3\ndefault_system: 짧게.\n")
        recipe = {key: value for key, value in recipe.items() if value is not None}
        project("recipe.yaml", yaml.safe_dump(recipe, allow_unicode=True))
        import llamafactory.data.template as module

        from lf_registry.hooks.templates import register

        before = dict(module.TEMPLATES)
        register(module)
        try:
            return run_check("recipe.yaml", **options)
        finally:
            module.TEMPLATES.clear()
            module.TEMPLATES.update(before)

    return run


GOOD = [
    {"instruction": "지하철은?", "output": "방금 떠났어."},
    {"instruction": "버스는 언제 온대?", "output": "오 분 뒤에 와."},
]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_broken_dataset_is_found_out(check, path):
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    report = check(case)
    found = [f"{finding.severity} {finding.code}" for finding in report.findings]
    assert sorted(found) == sorted(case["expect"]), report.findings
    if not found:
        return
    first = next(f for f in report.findings if f"{f.severity} {f.code}" == case["expect"][0])
    if "bad" in case:
        assert list(first.rows) == case["bad"] and first.count == len(case["bad"])
    everything = " ".join([first.where, first.message, first.fix, *first.details])
    assert case.get("says", "") in everything, everything
    assert first.fix


def test_every_kind_of_problem_has_its_case():
    named = {expected.split()[1] for path in CASES for expected in yaml.safe_load(path.read_text("utf-8"))["expect"]}
    # A registry template's own labels can only differ through a mistake of ours: test_labels_that_differ.
    assert set(KINDS) - named == {"parity-labels"}


def test_good_rows_have_no_findings(check):
    report = check({"rows": GOOD})
    assert report.findings == [] and report.not_checked == []
    (dataset,) = report.datasets
    assert (dataset.rows, dataset.kept, dataset.cut_rows, dataset.lost_tokens) == (2, 2, 0, 0)
    assert dataset.lengths.minimum <= dataset.lengths.median <= dataset.lengths.p99 <= dataset.lengths.maximum
    assert sum(dataset.lengths.counts) == sum(dataset.trained_share) == 2
    assert report.checked == ["dataset data: training ids and labels equal the saved chat template in all 2 rows"]
