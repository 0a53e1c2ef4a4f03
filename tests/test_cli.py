"""The command as a user types it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml

from lf_registry import cli
from lf_registry.templates import load_templates


def test_help_is_quick_and_imports_nothing_heavy(python):
    heavy = ("torch", "transformers", "llamafactory", "yaml", "pydantic")
    code = f"import sys, lf_registry.cli; print([m for m in {heavy} if m in sys.modules])"
    assert python(code).stdout == "[]\n"


VERBS = [command.name or command.callback.__name__.rstrip("_") for command in cli.app.registered_commands]


@pytest.mark.parametrize("arguments", [[], ["show", "template"], ["new", "persona"], *([verb] for verb in VERBS)])
def test_every_verb_has_help(lf, arguments):
    code, out, _ = lf(*arguments, "--help")
    assert code == 0 and "Usage: lf-registry" in out


def test_version(lf):
    code, out, _ = lf("--version")
    assert code == 0 and out.startswith("lf-registry 0.") and "LLaMA-Factory 0.9.5" in out


def test_list_everything(lf):
    code, out, _ = lf("list")
    assert code == 0
    for word in (
        "llama3-ironman",
        "datasets/ironman.json",
        "recipes/ironman_lora.yaml",
        "kakaocorp/kanana-nano-2.1b-base",
    ):
        assert word in out


@pytest.mark.parametrize("kind", ["templates", "datasets", "recipes", "models"])
def test_list_as_json(lf, kind):
    code, out, _ = lf("list", kind, "--json")
    assert code == 0 and len(json.loads(out)) >= 4


def test_a_wrong_kind_is_wrong_usage(lf):
    code, _, err = lf("list", "templats")
    assert code == 2 and "'templates'" in err


def test_list_in_an_empty_folder_shows_what_is_shipped(lf, project):
    code, out, _ = lf("list", "templates")
    assert code == 0 and "kanana_qa" in out


def test_list_with_a_broken_file(lf, project):
    project("templates/a.yaml", "name: a\n")
    code, _, err = lf("list", "templates")
    assert code == 1 and err.startswith("error: ") and "a.yaml: user and assistant: missing" in err


def test_show_the_file(lf):
    code, out, _ = lf("show", "template", "kanana_qa")
    assert code == 0 and yaml.safe_load(out)["name"] == "kanana_qa"


@pytest.mark.parametrize("name", load_templates())
def test_show_jinja(lf, name):
    from llamafactory.data.template import TEMPLATES

    code, out, _ = lf("show", "template", name, "--jinja")
    assert code == 0 and out == TEMPLATES[name].jinja() + "\n"
    code, masked, _ = lf("show", "template", name, "--jinja", "--masks")
    assert code == 0 and "{%- generation -%}" in masked


def test_show_with_a_tokenizer(lf, llama3, tmp_path):
    llama3.save_pretrained(tmp_path)
    code, out, _ = lf("show", "template", "kanana_qa", "--modelfile", "--tokenizer", str(tmp_path))
    assert code == 0 and 'PARAMETER stop "<|end_of_text|>"' in out
    code, out, _ = lf("show", "template", "kanana_qa", "--jinja", "--tokenizer", str(tmp_path))
    assert code == 0 and "content + '<|end_of_text|>'" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "template", "lama3-ironman"], "did you mean 'llama3-ironman'"),
        (["show", "template", "llama3"], "is a template of LLaMA-Factory itself"),
        (["show", "template", "kanana_qa", "--jinja", "--modelfile"], "choose one"),
        (["show", "template", "kanana_qa", "--masks"], "--masks goes with --jinja"),
        (["show", "template", "kanana_qa", "--tokenizer", "x"], "--tokenizer goes with"),
        (["show", "template", "kanana_qa", "--modelfile"], "whose text is not known"),
        (["new", "persona", "x y", "--extends", "llama3"], "letters, digits"),
        (["new", "persona", "007", "--extends", "llama3"], "must begin with a letter"),
        (["new", "persona", "null", "--extends", "llama3"], "must begin with a letter"),
        (["new", "persona", "x", "--extends", "llama3", "--model", "a: b #c"], "neither a Hub id nor a path"),
        (["new", "persona", "x", "--extends", "lama3"], "did you mean 'llama3'"),
        (["new", "persona", "x", "--extends", "qwen3"], "it changes messages in code"),
        (["new", "persona", "x", "--extends", "phi"], "--model HUB_ID"),
        (["convert", "x", "--name", "a b"], "letters, digits"),
        (["convert", "x", "--name", "a", "--format", "cvs"], "did you mean 'csv'"),
        (["convert", "x", "--name", "a", "--columns", "Q"], "is not column=NAME"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_one_clear_message(lf, arguments, message, project):
    code, out, err = lf(*arguments)
    assert (code, out) == (2, "")
    assert message in err and "Traceback" not in err


def test_square_brackets_are_printed_as_they_are(lf, project):
    project("templates/a.yaml", 'name: a\nextends: llama3\ndefault_system: x\ndescription: "[/INST] and [red]x"\n')
    code, out, _ = lf("list", "templates")
    assert code == 0 and "[/INST] and [red]x" in out


def test_one_broken_file_does_not_hide_the_rest(lf, project):
    project("dataset_info.json", "{")
    code, out, err = lf("list")
    assert code == 1 and "llama3-ironman" in out and "Kanana" in out
    assert "dataset_info.json, line 1" in err


def test_a_tokenizer_that_is_not_there(lf):
    code, _, err = lf("show", "template", "kanana_qa", "--jinja", "--tokenizer", "no/such-folder-or-model")
    assert code == 1 and "'no/such-folder-or-model' cannot be loaded" in err


def test_convert(lf, project):
    project("qa.csv", "Q,A,label\n안녕?,응.,0\n")
    code, out, _ = lf("convert", "qa.csv", "--name", "mine", "--columns", "prompt=Q,response=A")
    assert code == 0
    assert "read as csv, utf-8" in out and "kept     1" in out and "put `dataset: mine`" in out
    code, _, err = lf("convert", "missing.csv", "--name", "other")
    assert code == 1 and "missing.csv: there is no such file (paths start at the current folder)" in err
    assert "did you mean 'qa.csv'?" in lf("convert", "qa.cvs", "--name", "other")[2]


def test_new_persona(lf, project):
    code, out, _ = lf("new", "persona", "pirate", "--extends", "llama3")
    assert code == 0 and "next: edit templates/pirate.yaml" in out
    assert load_templates()["pirate"].builtin == "llama3"
    recipe = yaml.safe_load((project.root / "recipes" / "pirate_lora.yaml").read_text(encoding="utf-8"))
    merge = yaml.safe_load((project.root / "recipes" / "merge" / "pirate.yaml").read_text(encoding="utf-8"))
    assert recipe["template"] == recipe["dataset"] == merge["template"] == "pirate"
    assert recipe["model_name_or_path"] == merge["model_name_or_path"] == "allganize/Llama-3-Alpha-Ko-8B-Instruct"
    assert merge["adapter_name_or_path"] == recipe["output_dir"]
    assert json.loads((project.root / "datasets" / "pirate.json").read_text()) == []
    assert (project.root / recipe["deepspeed"]).exists()
    before = {path: path.read_bytes() for path in project.root.rglob("*") if path.is_file()}
    code, _, err = lf("new", "persona", "pirate", "--extends", "qwen")
    assert code == 1 and "templates/pirate.yaml exists already" in err and "nothing was written" in err
    assert {path: path.read_bytes() for path in project.root.rglob("*") if path.is_file()} == before


def room_for(size):
    """No file may become longer than this, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    return partial(resource.setrlimit, resource.RLIMIT_FSIZE, before)


def test_a_new_persona_on_a_full_disk_leaves_nothing_behind(lf, project):
    project("dataset_info.json", {"x": {"file_name": "x" * 50_000}})
    before = (project.root / "dataset_info.json").read_bytes()
    more_room = room_for(40_000)
    try:
        code, _, err = lf("new", "persona", "captain", "--extends", "llama3")
    finally:
        more_room()
    assert code == 1 and "dataset_info.json: cannot be written (File too large); this file is as it was" in err
    assert "removed again" in err
    assert [path for path in project.root.rglob("*") if path.is_file()] == [project.root / "dataset_info.json"]
    assert (project.root / "dataset_info.json").read_bytes() == before
    assert lf("new", "persona", "captain", "--extends", "llama3")[0] == 0


def test_a_conversion_whose_entry_does_not_fit_says_what_was_written(lf, project):
    project("dataset_info.json", {"x": {"file_name": "x" * 50_000}})
    project("qa.jsonl", '{"question": "누구야?", "answer": "나야, 토니."}\n')
    more_room = room_for(40_000)
    try:
        code, _, err = lf("convert", "qa.jsonl", "--name", "qa")
    finally:
        more_room()
    assert code == 1 and "nothing was changed" not in err and (project.root / "datasets" / "qa.json").is_file()
    assert "datasets/qa.json was written, its entry was not: make room, then the same command with --overwrite" in err
    assert lf("convert", "qa.jsonl", "--name", "qa", "--overwrite")[0] == 0


def test_a_new_personas_recipe_says_that_the_dataset_is_empty(lf, project):
    from lf_registry.errors import UserError
    from lf_registry.recipe_names import check_names
    from lf_registry.recipes import read_recipe

    lf("new", "persona", "pirate", "--extends", "llama3-ironman")
    with pytest.raises(UserError, match="'pirate' is still empty; add examples") as caught:
        check_names(read_recipe("recipes/pirate_lora.yaml"))
    assert len(caught.value.problems) == 1


def test_a_new_personas_recipes_are_valid_for_llamafactory(lf, project, monkeypatch):
    from llamafactory.hparams import parser

    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)
    lf("new", "persona", "pirate", "--extends", "qwen")
    values = yaml.safe_load((project.root / "recipes" / "pirate_lora.yaml").read_text(encoding="utf-8"))
    assert values["model_name_or_path"] == "Qwen/Qwen2-7B-Instruct"
    parser._parse_train_args(values)
    parser._parse_infer_args(
        yaml.safe_load((project.root / "recipes" / "merge" / "pirate.yaml").read_text(encoding="utf-8"))
    )


def test_the_installed_command(tmp_path):
    command = Path(sys.executable).with_name("lf-registry")
    done = subprocess.run(
        [command, "list", "models", "--json"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0 and json.loads(done.stdout)[0]["name"] == "Kanana-Nano-2.1B-Base"
