"""What the hook makes of the arguments, without a training: where it looks, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from checkpoint_folders import checkpoint, cut
from lf_registry.errors import UserError
from lf_registry.hooks import checkpoints as hook
from lf_registry.resume.look import checkpoints


def look(out: Path, stage: str = "sft", method: str = "lora", **training):
    values = {"output_dir": str(out), "do_train": True, "resume_from_checkpoint": None, "deepspeed": None} | training
    arguments = SimpleNamespace(**values)
    return hook._look_for(arguments, SimpleNamespace(stage=stage, finetuning_type=method)), arguments


@pytest.fixture
def out(tmp_path):
    """A whole checkpoint, and a newer one that was being written."""
    checkpoint(tmp_path, 10, world=1, kind="plain")
    cut(checkpoint(tmp_path, 20, world=1, kind="plain") / "optimizer.pt")
    return tmp_path


@pytest.mark.parametrize("value", [None, True, "true"])
def test_the_last_one_is_the_last_whole_one(out, value, capfd):
    found, arguments = look(out, resume_from_checkpoint=value)
    assert found == {str(out): str(out / "checkpoint-10")}
    assert arguments.resume_from_checkpoint is None, "LLaMA-Factory asks for the last one then, and gets ours"
    assert (out / "broken-checkpoint-20").is_dir() and "optimizer.pt is cut off" in capfd.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        {"resume_from_checkpoint": False},
        {"overwrite_output_dir": True},
        {"do_train": False},
        {"stage": "rm", "method": "full"},
    ],
)
def test_a_run_that_starts_over_touches_nothing(out, options):
    assert look(out, **options)[0] == {} and len(checkpoints(out)) == 2


def test_a_checkpoint_that_is_named_must_be_there_and_whole(out):
    with pytest.raises(UserError, match=r"checkpoint-20: optimizer.pt is cut off"):
        look(out, resume_from_checkpoint=str(out / "checkpoint-20"))
    with pytest.raises(UserError, match=r"checkpoint-11 does not exist; did you mean 'checkpoint-10'"):
        look(out, resume_from_checkpoint=str(out / "checkpoint-11"))
    assert look(out, resume_from_checkpoint=str(out / "checkpoint-10"))[0] == {} and len(checkpoints(out)) == 2


@pytest.mark.parametrize("method", ["lora", "full"])
def test_ppo_is_not_resumed_and_its_checkpoints_are_not_called_broken(tmp_path, method):
    (checkpoint(tmp_path, 20, world=1, kind="weights") / "trainer_state.json").unlink()
    if method == "full":
        assert look(tmp_path, stage="ppo", method="full")[0] == {}, "LLaMA-Factory starts over by itself"
    else:
        with pytest.raises(UserError, match=r"PPO cannot go on[^`]*`adapter_name_or_path=\S*checkpoint-20 output_dir="):
            look(tmp_path, stage="ppo")
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-20"]


def test_one_message_from_many_processes(tmp_path, monkeypatch):
    checkpoint(tmp_path, 20, world=1, kind="weights")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as left:
        look(tmp_path, stage="ppo")
    assert left.value.code == 1
