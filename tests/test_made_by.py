"""A folder that is not there yet: every verb that needs it names the command that makes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import ROOT
from lf_registry.cli import app
from lf_registry.made_by import command_that_makes

TRAIN = "llamafactory-cli train recipes/mine_lora.yaml"
MERGE = "lf-registry merge recipes/merge/mine.yaml"


@pytest.fixture
def mine(project):
    """A folder with a training recipe and its merge recipe, neither of which was run."""
    project("templates/mine.yaml", "name: mine\nextends: llama3\ndefault_system: 짧게 답해.\n")
    recipe = "model_name_or_path: base\ntemplate: mine\nfinetuning_type: lora\n"
    project("recipes/mine_lora.yaml", recipe + "stage: sft\ndo_train: true\noutput_dir: outputs/mine_lora\n")
    project("recipes/merge/mine.yaml", recipe + "adapter_name_or_path: outputs/mine_lora\nexport_dir: outputs/mine\n")
    project("recipes/broken.yaml", "output_dir: [\n")
    return project


def test_the_command_that_makes_a_folder(mine, monkeypatch):
    assert (
        command_that_makes("outputs/mine_lora") == command_that_makes(Path("outputs/mine_lora/checkpoint-30")) == TRAIN
    )
    assert command_that_makes("outputs/mine/") == MERGE
    assert command_that_makes("outputs/other") is None
    shipped = ROOT / "recipes" / "ironman_lora.yaml"
    assert command_that_makes("outputs/ironman_lora") == f"llamafactory-cli train {shipped}"
    monkeypatch.setenv("LF_REGISTRY_PATH", "/nowhere")
    assert command_that_makes("outputs/mine") is None


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["merge", "recipes/merge/mine.yaml"], TRAIN),
        (["merge", "outputs/mine_lora/checkpoint-30", "--out", "x"], TRAIN),
        (["export-adapter", "outputs/mine_lora/checkpoint-30"], TRAIN),
        (["publish", "outputs/mine", "me/mine", "--dry-run"], MERGE),
        (["demo", "outputs/mine"], MERGE),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_every_verb_names_it(mine, arguments, command):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert f"next: {command}   # " in result.output + str(result.exception)


def test_llamafactorys_own_commands_name_it(mine):
    from types import SimpleNamespace

    from lf_registry.errors import UserError
    from lf_registry.hooks.peft_methods import _last_adapter

    with pytest.raises(UserError, match="outputs/mine_lora: there is no such folder\n  next: " + TRAIN):
        _last_adapter(SimpleNamespace(adapter_name_or_path=["outputs/mine_lora"]))
