"""Every recipe on disk, through LLaMA-Factory's own argument parser."""

from __future__ import annotations

import json

import pytest
import yaml

from conftest import ROOT
from lf_registry.errors import UserError
from lf_registry.recipe_names import check_names
from lf_registry.recipes import known_recipes, names, read_recipe

TRAIN = sorted((ROOT / "recipes").glob("*.yaml"))
MERGE = sorted((ROOT / "recipes" / "merge").glob("*.yaml"))
CHAT = sorted((ROOT / "recipes" / "chat").glob("*.yaml"))
DEEPSPEED = sorted((ROOT / "recipes" / "deepspeed").glob("*.json"))
SECTIONS = ["### model", "### method", "### dataset", "### output", "### train", "### eval"]


def stem(path):
    return path.stem


@pytest.fixture
def no_gpu_needed(monkeypatch):
    """A CPU has no bf16 mixed precision; everything else is parsed as it will be on a GPU."""
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)


@pytest.mark.parametrize("path", TRAIN, ids=stem)
def test_llamafactory_parses_the_training_recipe(path, no_gpu_needed):
    from llamafactory.hparams import parser

    recipe = read_recipe(path)
    model, data, training, finetuning, _ = parser._parse_train_args(dict(recipe.values))
    parser._verify_model_args(model, data, finetuning)
    assert training.do_train and finetuning.stage == "sft"
    assert training.bf16, "sized for 16 bits"
    assert str(training.eval_strategy.value) != "no", "over-fitting must show"
    assert data.eval_dataset or data.val_size > 0
    assert finetuning.plot_loss


@pytest.mark.parametrize("path", TRAIN, ids=stem)
def test_everything_a_training_recipe_names_exists(path):
    recipe = read_recipe(path)
    check_names(recipe)
    assert recipe.values["dataset_dir"] == "."
    assert not set(names(recipe.values["dataset"])) & set(names(recipe.values.get("eval_dataset")))


@pytest.mark.parametrize("path", TRAIN, ids=stem)
def test_an_adapter_has_its_merge_recipe_and_every_recipe_its_chat_recipe(path):
    values = read_recipe(path).values
    merges = {yaml.safe_load(merge.read_text())["adapter_name_or_path"]: merge for merge in MERGE}
    chats = [yaml.safe_load(chat.read_text()) for chat in CHAT]
    if "peft" in values:  # a prompt changes no weights, so that there is nothing to merge
        chat = next(chat for chat in chats if chat.get("adapter_name_or_path") == values["output_dir"])
        assert (chat["model_name_or_path"], chat["template"]) == (values["model_name_or_path"], values["template"])
        return
    if values["finetuning_type"] == "full":
        assert any(chat["model_name_or_path"] == values["output_dir"] for chat in chats)
        return
    merge = yaml.safe_load(merges[values["output_dir"]].read_text())
    chat = next(chat for chat in chats if chat.get("adapter_name_or_path") == values["output_dir"])
    for key in ("model_name_or_path", "template", "finetuning_type"):
        assert merge[key] == values[key] == chat[key], key


@pytest.mark.parametrize("path", MERGE + CHAT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_llamafactory_parses_the_merge_and_chat_recipes(path):
    from llamafactory.data.template import TEMPLATES
    from llamafactory.hparams import parser

    model, data, finetuning, _ = parser._parse_infer_args(dict(read_recipe(path).values))
    parser._verify_model_args(model, data, finetuning)
    assert data.template in TEMPLATES
    assert bool(model.export_dir) == (path.parent.name == "merge")
    assert model.quantization_bit is None


def test_export_folders_are_all_different():
    folders = [read_recipe(path).values["export_dir"] for path in MERGE] + [
        read_recipe(p).values["output_dir"] for p in TRAIN
    ]
    assert len(folders) == len(set(folders))


@pytest.mark.parametrize("path", TRAIN, ids=stem)
def test_a_training_recipe_has_its_header_and_sections(path):
    text = path.read_text(encoding="utf-8")
    header, rest = text.split("### model", 1)
    for word in ("Trains:", "Needs:", "Run:", "Then:", "Override:"):
        assert f"# {word}" in header, word
    assert f"llamafactory-cli train recipes/{path.name}" in header
    found = [line.strip() for line in ("### model" + rest).splitlines() if line.startswith("###")]
    assert found == SECTIONS


@pytest.mark.parametrize("path", MERGE + CHAT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_header_names_its_own_file(path):
    assert f"recipes/{path.parent.name}/{path.name}" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DEEPSPEED, ids=stem)
def test_deepspeed_files(path):
    config = json.loads(path.read_text())
    stage = config["zero_optimization"]["stage"]
    assert stage == (2 if "z2" in path.stem else 3)
    if stage == 3:
        assert config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] is True
    assert ("offload_optimizer" in config["zero_optimization"]) == ("offload" in path.stem)


def test_recipes_are_found_from_anywhere(project):
    assert {path.name for path in known_recipes()} == {path.name for path in TRAIN}


def test_overrides_are_read_as_llamafactory_reads_them():
    values = read_recipe("recipes/ironman_lora.yaml", ["learning_rate=5e-3", "bf16=false", "output_dir=a/b"]).values
    assert (values["learning_rate"], values["bf16"], values["output_dir"]) == (0.005, False, "a/b")


@pytest.mark.parametrize("value", ["a,b", "a, b", ["a", "b"]])
def test_dataset_names(value):
    assert names(value) == ["a", "b"]


def test_a_recipe_that_is_not_yaml(project):
    project("r.yaml", "a: 1\na: 2\n")
    with pytest.raises(UserError, match="line 2, column 1: key 'a' stands twice"):
        read_recipe("r.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a:\n\tb: 1\n", "line 2, column 1: there is a tab"),
        ("a:\n  b: 가나다\n  \tc: 2\n", "line 3, column 3: there is a tab"),
        ("a: |\n\tx\n", "line 2, column 1: there is a tab"),
        ("a: [1, 2\nb: 3\n", "that begins in line 1"),
        ("a: 1\n---\nb: 2\n", "expected a single document in the stream, but found another document"),
    ],
    ids=["tab", "tab-after-spaces", "tab-in-a-text", "open-bracket", "two-documents"],
)
def test_a_mistake_in_yaml_says_what_to_look_for(project, text, says):
    project("r.yaml", text)
    with pytest.raises(UserError) as caught:
        read_recipe("r.yaml")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "next_step"),
    [
        (["template=lama3-ironman"], "lf-registry list templates"),
        (["dataset=ironmen"], "lf-registry list datasets"),
        (["dataset_dir=datasets"], "write `dataset_dir: .`"),
        (["deepspeed=ds_z3.json"], "name a file that exists, for example "),
        (
            ["template=lama3-ironman", "dataset=ironmen"],
            "lf-registry check recipes/ironman_lora.yaml template=lama3-ironman dataset=ironmen --no-data",
        ),
    ],
    ids=["template", "dataset", "no-dataset-info", "deepspeed", "two"],
)
def test_a_wrong_name_says_what_to_type_next(monkeypatch, changes, next_step):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError) as caught:
        check_names(read_recipe("recipes/ironman_lora.yaml", changes))
    assert f"next: {next_step}" in str(caught.value)


def test_a_recipe_that_is_run_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        check_names(read_recipe(ROOT / "recipes" / "ironman_lora.yaml"))
    assert len(caught.value.problems) == 2
    assert caught.value.hint == f"run it from the folder at which its paths start: cd {ROOT}"
