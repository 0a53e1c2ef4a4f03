"""The cards themselves: golden files, their metadata, and that what cannot be known is not said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from card_folders import KINDS, LLAMA3, RESULTS, STATE, TRAINER_CARD, adapter, artifact, full, merged, write
from lf_registry.errors import UserError
from lf_registry.publish.card.data import hangul_share, languages
from lf_registry.publish.card.training import duration, training_facts
from lf_registry.recipes import Recipe

CARDS = Path(__file__).parent / "golden" / "cards"


def metadata(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


@pytest.mark.parametrize("kind", KINDS)
def test_golden(card, kind):
    """Renew with UPDATE_GOLDEN=1 and read the diff."""
    text, _ = card(kind)
    path = CARDS / f"{kind}.md"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("kind", KINDS)
def test_huggingface_hub_reads_the_card(card, kind):
    text, _ = card(kind)
    read = ModelCard(text)
    assert str(read) == text
    assert read.data.base_model in (LLAMA3, "kakaocorp/kanana-nano-2.1b-base")
    assert read.data.library_name == ("peft" if kind == "adapter" else "transformers")
    assert read.data.get("base_model_relation") == ("adapter" if kind == "adapter" else "finetune")
    if kind != "merged":
        (result,) = read.data.eval_results
        assert result.metric_value == (1.6821 if kind == "adapter" else 1.5)


def test_no_local_path_is_in_a_card(card, tmp_path):
    text, _ = card(artifact=adapter(tmp_path / "secret-place", base="/workspace/models/llama"), existing=TRAINER_CARD)
    assert "/workspace" not in text and "secret-place" not in text and str(tmp_path) not in text


def test_hub_datasets_are_named_and_local_ones_are_described(card, project):
    project("dataset_info.json", {"mine": {"file_name": "mine.json"}, "theirs": {"hf_hub_url": "someone/theirs"}})
    project("mine.json", [{"instruction": "안녕?", "output": "안녕! 반가워."}] * 3)
    values = {"model_name_or_path": LLAMA3, "dataset": "mine,theirs", "dataset_dir": ".", "finetuning_type": "lora"}
    text, _ = card(recipe=Recipe(Path("r.yaml"), values))
    assert metadata(text)["datasets"] == ["someone/theirs"]
    assert "| `mine` | training | 3 | not on the Hub |" in text
    assert "[someone/theirs](https://huggingface.co/datasets/someone/theirs)" in text
    assert metadata(text)["language"] == ["ko"]


def test_a_dataset_dir_of_the_hub(card):
    values = {"model_name_or_path": LLAMA3, "dataset": "someone/chats", "dataset_dir": "ONLINE"}
    assert metadata(card(recipe=Recipe(Path("r.yaml"), values))[0])["datasets"] == ["someone/chats"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("토니 스타크는 엔지니어다.", ["ko"]),
        ("`list.sort()`는 리스트 자체를 바꾸고, `sorted()`는 새 리스트를 돌려줍니다.", ["ko"]),
        ("Tony Stark is an engineer. 안녕.", []),
        ("東京は日本の首都です。", []),
        ("12345 !?", []),
    ],
)
def test_language(text, expected):
    assert languages(hangul_share([text]), "") == expected


def test_an_unknown_language_is_a_warning_and_no_guess(card, project):
    text, warnings = card(recipe=Recipe(Path("r.yaml"), {"model_name_or_path": LLAMA3}))
    assert "language" not in metadata(text)
    assert any(warning.startswith("language:") for warning in warnings)
    assert "Hello, who are you?" in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trainer_state_json": STATE}, 1.6821),
        ({"trainer_state_json": STATE, "all_results_json": RESULTS | {"eval_loss": 1.25}}, 1.25),
        ({"trainer_state_json": STATE | {"global_step": 103}}, None),  # evaluated before the last steps
        ({"trainer_state_json": STATE | {"log_history": []}}, None),
        ({}, None),
    ],
)
def test_the_evaluation_loss_is_that_of_the_published_weights(tmp_path, changes, expected):
    write(tmp_path / "run", adapter_config_json={"r": 8}, **changes)
    assert training_facts(artifact(tmp_path / "run", "adapter", LLAMA3, "LORA"), {}, LLAMA3).eval_loss == expected


def test_the_best_weights_have_the_best_loss(tmp_path):
    write(tmp_path / "run", trainer_state_json=STATE | {"best_metric": 1.5})
    folder = artifact(tmp_path / "run", "adapter", LLAMA3, "LORA")
    assert training_facts(folder, {"load_best_model_at_end": True}, LLAMA3).eval_loss == 1.5
    by_accuracy = {"load_best_model_at_end": True, "metric_for_best_model": "eval_accuracy"}
    assert training_facts(folder, by_accuracy, LLAMA3).eval_loss is None


def test_without_facts_nothing_is_claimed(card, tmp_path):
    write(tmp_path / "bare", adapter_config_json={"peft_type": "LORA", "r": 16})
    text, _ = card(artifact=artifact(tmp_path / "bare", "adapter", LLAMA3, "LORA"), recipe=None)
    assert "model-index" not in text and "loss |" not in text and "Versions" not in text and "![" not in text
    assert "Nothing was measured for this card" in text and "recipe.yaml" not in text
    assert f'AutoTokenizer.from_pretrained("{LLAMA3}")' in text  # the folder has no tokenizer
    assert "the base model's is used, with its chat template" in text and "apply_chat_template" in text


@pytest.mark.parametrize(
    ("seconds", "expected"), [(42.4, "42 s"), (150, "2 min"), (4321, "1 h 12 min"), (0, ""), (None, ""), (True, "")]
)
def test_duration(seconds, expected):
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("speed", "expected"), [(0.687, "32: 4 per device, 4 accumulation steps, 2 devices"), (0.5, "4 per device, 4")]
)
def test_devices_are_computed_from_samples_and_steps(tmp_path, speed, expected):
    results = RESULTS | {"train_samples_per_second": speed}
    write(tmp_path / "run", trainer_state_json=STATE, all_results_json=results)
    facts = training_facts(artifact(tmp_path / "run", "model", None), {"gradient_accumulation_steps": 4}, LLAMA3)
    assert facts.rows["batch"].startswith(expected)
    assert ("device" in facts.rows["batch"].rpartition("steps")[2]) == (speed == 0.687)


def test_a_persona_that_the_chat_template_lost_is_said(card, tmp_path):
    folder = merged(tmp_path / "merged")
    (folder.folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}", encoding="utf-8")
    text, _ = card("merged", artifact=folder)
    assert "Its chat template does not hold it" in text
    assert "> 너는 토니 스타크다." in text


def test_samples(card, tmp_path):
    folder = adapter(tmp_path / "run")
    lines = [
        {"prompt": f"질문 {number}?", "before": "글쎄요.", "after": "그건\n내가 안다. <!-- x -->"}
        for number in range(5)
    ]
    text = "\n".join(map(json.dumps, [{"other": 1}, *lines])) + "\nnot json\n"
    (folder.folder / "answers.jsonl").write_text(text, encoding="utf-8")
    made, _ = card(artifact=folder)
    assert made.count("**Q** 질문") == 3 and "3 of the compared prompts" in made
    assert "> 그건\n> 내가 안다. &lt;!-- x -->" in made


@pytest.mark.parametrize(
    ("config", "expected", "missing"),
    [
        ({"r": 12}, "--max-lora-rank 16", "does not load"),
        ({"r": 8, "rank_pattern": {"q_proj": 100}}, "--max-lora-rank 128", "does not load"),
        ({"use_dora": True}, "vLLM does not load this kind of adapter. Merge it first", "--enable-lora"),
        ({"modules_to_save": ["lm_head"]}, "vLLM does not load", "--enable-lora"),
        ({"bias": "all"}, "vLLM does not load", "--enable-lora"),
        ({"peft_type": "PREFIX_TUNING"}, "A prefix tuning adapter", "lf-registry merge"),
    ],
)
def test_what_can_load_an_adapter(card, tmp_path, config, expected, missing):
    text, _ = card(artifact=adapter(tmp_path / "run", **config))
    assert expected in text and missing not in text


def test_ollama_without_a_modelfile(card, tmp_path):
    folder = merged(tmp_path / "merged")
    assert "ollama create" in card("merged", artifact=folder)[0]
    (folder.folder / "Modelfile").unlink()
    assert "ollama create" not in card("merged", artifact=folder)[0]


def test_code_of_the_repository_is_trusted_only_where_it_is_needed(card, tmp_path):
    assert "trust_remote_code" not in card("full")[0]
    write(tmp_path / "code", config_json={"auto_map": {"AutoModel": "modeling_x.X"}}, tokenizer_config_json={})
    text, _ = card("full", artifact=artifact(tmp_path / "code", "model", None))
    assert text.count(", trust_remote_code=True") == 2


@pytest.mark.parametrize("base", [None, "/workspace/models/llama", "outputs/earlier", "saves/llama/lora/sft"])
def test_a_base_model_without_an_id_comes_from_the_recipe_or_is_refused(card, tmp_path, base):
    folder = adapter(tmp_path / "run", base=base)
    assert metadata(card(artifact=folder)[0])["base_model"] == LLAMA3
    with pytest.raises(UserError, match=r"base_model: it is not known[^$]*--recipe RECIPE") as caught:
        card(artifact=folder, recipe=None)
    assert len(caught.value.problems) == 1  # not also that the licence of nothing is unknown


def test_a_local_base_model_that_knows_where_it_came_from(card, tmp_path):
    write(tmp_path / "base", config_json={"_name_or_path": LLAMA3})
    folder = adapter(tmp_path / "run", base=str(tmp_path / "base"))
    assert metadata(card(artifact=folder, recipe=None)[0])["base_model"] == LLAMA3


@pytest.mark.parametrize("recipe", [None, "recipes/ironman_lora.yaml"])
def test_a_base_model_in_the_cache_of_the_hub(card, tmp_path, recipe):
    snapshot = f"/workspace/hub/models--{LLAMA3.replace('/', '--')}/snapshots/abc"
    text, _ = card(artifact=adapter(tmp_path / "run", base=snapshot), recipe=recipe)
    assert metadata(text)["base_model"] == LLAMA3 and "/workspace" not in text


def test_a_card_may_name_what_is_also_a_folder_here(card, project):
    project("allganize/Llama-3-Alpha-Ko-8B-Instruct/config.json", "{}")
    folder = adapter(project.root / "run", base=LLAMA3)
    with pytest.raises(UserError, match="base_model: it is not known"):
        card(artifact=folder, recipe=None)
    text, _ = card(artifact=folder, recipe=None, existing=f"---\nbase_model: {LLAMA3}\n---\n# x\n")
    assert metadata(text)["base_model"] == LLAMA3


@pytest.mark.parametrize("repo", ["a/b/c", "me/model.git", "me/--x", "../x", "me/x y"])
def test_a_repository_that_cannot_be(card, repo):
    with pytest.raises(UserError, match="cannot be a repository on the Hub"):
        card(repo_id=repo)


def test_two_base_models_are_refused(card, tmp_path):
    with pytest.raises(UserError, match="the folder says Qwen/Qwen2-7B-Instruct, the recipe says allganize"):
        card(artifact=adapter(tmp_path / "run", base="Qwen/Qwen2-7B-Instruct"))


def test_all_problems_at_once(card, tmp_path):
    with pytest.raises(UserError) as caught:
        card("full", artifact=full(tmp_path / "x"), recipe=None, license="apache2")
    text = str(caught.value)
    assert "base_model: it is not known" in text and "did you mean 'apache-2.0'" in text and "--recipe" in text
    assert text.startswith("2 problems")
