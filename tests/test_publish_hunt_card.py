"""Lines of a card that were not true, and samples that were lost."""

from __future__ import annotations

import json

import pytest

from card_folders import LLAMA3, adapter, full, merged
from lf_registry.publish.artifact import Artifact
from lf_registry.publish.card.samples import read_samples
from lf_registry.recipes import Recipe

ANSWER = {"prompt": "누구야?", "before": "저는 모델입니다.", "after": "나야, 토니."}


def write_lines(folder, *values, start: str = "", end: str = "\n"):
    lines = [json.dumps(value, ensure_ascii=False) for value in values]
    (folder / "answers.jsonl").write_text(start + end.join(lines) + end, encoding="utf-8", newline="")


def test_an_adapter_without_a_tokenizer_is_used_with_the_base_models(card, tmp_path):
    folder = adapter(tmp_path / "run")
    (folder.folder / "tokenizer.json").unlink()
    text, _ = card(artifact=folder)
    assert "This repository has no tokenizer" in text and "There is no chat template" not in text
    assert f'AutoTokenizer.from_pretrained("{LLAMA3}")' in text and "apply_chat_template" in text
    assert "/v1/chat/completions" in text and "--tokenizer" not in text
    assert "give it in every conversation" in text


def test_a_model_without_a_chat_template_knows_no_roles(card, tmp_path):
    folder = full(tmp_path / "full")
    (folder.folder / "chat_template.jinja").unlink()
    text, _ = card("full", artifact=folder)
    assert "There is no chat template" in text and "apply_chat_template" not in text and "/v1/completions" in text


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"template": "llama3-ironman", "deepspeed": "recipes/deepspeed/ds_z3.json"},
            "Where the data, `ds_z3.json` and",
        ),
        (
            {"template": "llama3-ironman"},
            "Where the data and the chat template `llama3-ironman` of `lf-registry` are at",
        ),
        ({"template": "llama3", "deepspeed": "ds.json"}, "Where the data and `ds.json` are at hand"),
        ({"template": "llama3"}, "Where the data is at hand"),
    ],
)
def test_what_the_recipe_needs(card, values, expected):
    recipe = Recipe(
        None, {"model_name_or_path": LLAMA3, "finetuning_type": "lora", "default_system": "너는 토니다."} | values
    )
    assert expected in card(recipe=recipe)[0]


@pytest.mark.parametrize(
    ("kind", "config", "noun"),
    [
        ("LORA", {}, "a LoRA adapter"),
        ("LORA", {"use_dora": True}, "a DoRA adapter"),
        ("PREFIX_TUNING", {}, "a prefix tuning adapter"),
        ("OFT", {}, "an OFT adapter"),
        ("ADALORA", {}, "an AdaLoRA adapter"),
        (None, {}, "an adapter"),
    ],
)
def test_the_name_of_a_method(tmp_path, kind, config, noun):
    assert Artifact(tmp_path, "adapter", (), kind, facts={"adapter_config": config}).noun == noun
    assert Artifact(tmp_path, "model", ()).noun == "a model"


def test_samples_whatever_the_file_was_written_with(tmp_path):
    lines = [ANSWER | {"after": f"하나{between}둘"} for between in ("\u2028", "\x85", "\n")]
    write_lines(tmp_path, *lines, start="\ufeff", end="\r\n")
    assert read_samples(tmp_path) == lines


def test_a_long_answer_is_cut_and_a_tag_is_shown(card, tmp_path):
    folder = merged(tmp_path / "merged")
    write_lines(folder.folder, ANSWER | {"after": "<b>아이언맨</b> <|eot_id|> 2 < 3 " + "가" * 5000})
    text, warnings = card("merged", artifact=folder)
    assert "One of the compared prompts" in text and "as they came, but for what [...] stands for." in text
    assert "> &lt;b>아이언맨&lt;/b> <|eot_id|> 2 < 3 가" in text and "가" * 1500 not in text
    assert not [warning for warning in warnings if "shows no" in warning]


def test_sentences_of_a_comparison(card, tmp_path):
    folder = merged(tmp_path / "merged")
    (folder.folder / "summary.json").write_text(json.dumps({"sentences": ["exact_match improved.", 3], "metrics": {}}))
    text, _ = card("merged", artifact=folder)
    assert "## How it answers\n\n- exact_match improved.\n" in text and "compared prompts" not in text
    assert 'but what stands under "How it answers"' in text and "no held-out loss" not in text
    write_lines(folder.folder, ANSWER)
    assert "- exact_match improved.\n\nOne of the compared prompts" in card("merged", artifact=folder)[0]


def test_a_comparison_that_shows_nothing_is_said(card, tmp_path):
    folder = merged(tmp_path / "merged")
    write_lines(folder.folder, {"question": "x"})
    (folder.folder / "summary.json").write_text("[]")
    text, warnings = card("merged", artifact=folder)
    assert "How it answers" not in text
    assert [warning.split(":")[0] for warning in warnings if ".json" in warning] == ["answers.jsonl", "summary.json"]
