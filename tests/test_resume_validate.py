"""What is seen of a broken checkpoint, and which one a run goes on from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from checkpoint_folders import checkpoint, cut
from lf_registry.errors import UserError
from lf_registry.resume import room
from lf_registry.resume.aside import set_aside
from lf_registry.resume.choose import Run, choose
from lf_registry.resume.judge import judge, validate
from lf_registry.resume.lock import lock
from lf_registry.resume.look import checkpoints, look
from lf_registry.resume.rotate import rotate

TAG = "global_step20/"
OPTIM, MODEL = "zero_pp_rank_{}_mp_rank_00_optim_states.pt", "zero_pp_rank_{}_mp_rank_00_model_states.pt"


@pytest.mark.parametrize(
    ("kind", "world"), [("zero3", 2), ("zero3", 1), ("zero2", 4), ("plain", 1), ("plain", 3), ("weights", 1)]
)
def test_a_whole_checkpoint_has_no_problems(tmp_path, kind, world):
    folder = checkpoint(tmp_path, 20, kind=kind, world=world)
    assert validate(folder) == []
    verdict = judge(folder.name, [look(folder)])
    assert verdict.deepspeed == kind.startswith("zero") and verdict.weights_only == (kind == "weights")
    assert verdict.world_size == (None if kind == "weights" else world)


MISSING = [
    ("zero3", "trainer_state.json", "trainer_state.json is missing: it is written last"),
    ("zero3", "latest", "latest is missing"),
    ("zero3", TAG + OPTIM.format(0), f"{TAG}{OPTIM.format(0)} is missing"),
    ("zero3", TAG + OPTIM.format(1), f"{TAG}{OPTIM.format(1)} is missing"),
    ("zero3", TAG + MODEL.format(1), f"{TAG}{MODEL.format(1)} is missing"),
    ("zero2", TAG + OPTIM.format(1), f"{TAG}{OPTIM.format(1)} is missing"),
    ("zero2", TAG + "mp_rank_00_model_states.pt", f"{TAG}mp_rank_00_model_states.pt is missing"),
    ("zero3", "rng_state_0.pth", "rng_state_0.pth is missing"),
    ("zero3", "rng_state_1.pth", "rng_state_1.pth is missing"),
    ("plain", "adapter_model.safetensors", "there are no weights in it"),
    ("plain", "scheduler.pt", "scheduler.pt is missing"),
]


@pytest.mark.parametrize(("kind", "name", "problem"), MISSING, ids=[f"{kind}-{name}" for kind, name, _ in MISSING])
def test_a_missing_file_is_seen(tmp_path, kind, name, problem):
    folder = checkpoint(tmp_path, 20, kind=kind)
    (folder / name).unlink()
    assert any(problem in found for found in validate(folder)), validate(folder)


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.99])
@pytest.mark.parametrize(
    "name",
    [
        "trainer_state.json",
        "adapter_model.safetensors",
        "training_args.bin",
        "scheduler.pt",
        "rng_state_1.pth",
        TAG + OPTIM.format(1),
        TAG + MODEL.format(0),
    ],
)
def test_a_file_that_was_cut_off_is_seen(tmp_path, name, share):
    folder = checkpoint(tmp_path, 20)
    cut(folder / name, share)
    assert [found for found in validate(folder) if found.startswith(name)], validate(folder)


def test_an_empty_file_is_a_problem_only_where_it_holds_something(tmp_path):
    folder = checkpoint(tmp_path, 20)
    (folder / "README.md").touch()
    assert validate(folder) == []
    (folder / "scheduler.pt").write_bytes(b"")
    assert validate(folder) == ["scheduler.pt is empty"]


def test_a_file_of_zeros_is_seen(tmp_path):
    """What a power cut leaves of a file whose size was written and whose content was not."""
    folder = checkpoint(tmp_path, 20)
    path = folder / TAG / OPTIM.format(0)
    path.write_bytes(bytes(path.stat().st_size))
    assert validate(folder) == [f"{TAG}{OPTIM.format(0)} is not a file of torch.save"]


def test_the_old_format_of_torch_is_no_problem(tmp_path):
    import torch

    folder = checkpoint(tmp_path, 20)
    torch.save({"x": 1}, folder / TAG / OPTIM.format(0), _use_new_zipfile_serialization=False)
    assert validate(folder) == []


def test_a_shard_that_the_index_names_is_missing(tmp_path):
    folder = checkpoint(tmp_path, 20)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert len(validate(folder)) == 2


def test_a_state_of_another_step_and_a_tag_without_folder(tmp_path):
    folder = checkpoint(tmp_path, 20)
    folder.rename(tmp_path / "checkpoint-30")
    (tmp_path / "checkpoint-30" / "latest").write_text("global_step30")
    problems = validate(tmp_path / "checkpoint-30")
    assert "trainer_state.json is of step 20, not of step 30" in problems
    assert any("latest names 'global_step30', and there is no such folder" in problem for problem in problems)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_not_called_broken(tmp_path):
    folder = checkpoint(tmp_path, 20)
    (folder / "latest").chmod(0)
    with pytest.raises(UserError, match="cannot be read"):
        validate(folder)


def views(*outs: Path):
    return [{path.name: look(path) for path in checkpoints(out)} for out in outs]


RUN = Run("out", world_size=2, deepspeed=True)


def test_the_newest_whole_one_is_chosen(tmp_path):
    for step in (5, 10, 20, 100):
        checkpoint(tmp_path, step)
    (tmp_path / "broken-checkpoint-300").mkdir()
    (tmp_path / "checkpoint-100" / "latest").unlink()
    cut(tmp_path / "checkpoint-5" / "training_args.bin")
    choice = choose(views(tmp_path), RUN)
    assert choice.resume == "checkpoint-20" and list(choice.broken) == ["checkpoint-100"] and choice.notes == ()


def test_none_is_whole(tmp_path):
    (tmp_path / "checkpoint-20").mkdir()
    assert choose(views(tmp_path), RUN).resume is None
    assert choose([{}], RUN).broken == {}


@pytest.mark.parametrize(("saved", "now"), [(2, 4), (2, 1), (8, 4)])
@pytest.mark.parametrize("kind", ["zero2", "zero3"])
def test_another_number_of_gpus_is_explained(tmp_path, kind, saved, now):
    checkpoint(tmp_path, 20, world=saved, kind=kind)
    with pytest.raises(UserError) as caught:
        choose(views(tmp_path), Run("out", world_size=now, deepspeed=True))
    text = str(caught.value)
    assert f"was saved by {saved} processes (GPUs), and this run has {now}" in text
    assert f"NPROC_PER_NODE={saved}" in text and "overwrite_output_dir=true" in text
    assert "`adapter_name_or_path=out/checkpoint-20 output_dir=out-2 num_train_epochs=1`" in text
    assert choose(views(tmp_path), Run("out", now, deepspeed=True, universal=True)).resume == "checkpoint-20"


def test_partitions_only_go_through_the_export(tmp_path):
    (checkpoint(tmp_path, 20) / "adapter_model.safetensors").unlink()
    assert choose(views(tmp_path), RUN).resume == "checkpoint-20"
    with pytest.raises(UserError, match="lf-registry export-adapter out/checkpoint-20"):
        choose(views(tmp_path), Run("out", 1, deepspeed=True))
    with pytest.raises(UserError, match=r"zero_to_fp32.py .*`model_name_or_path=out/checkpoint-20-weights"):
        choose(views(tmp_path), Run("out", 1, deepspeed=True, lora=False))
    with pytest.raises(UserError, match="holds DeepSpeed's partitions only"):
        choose(views(tmp_path), Run("out", 2))


def test_weights_only_cannot_be_resumed_under_deepspeed(tmp_path):
    checkpoint(tmp_path, 20, kind="weights")
    with pytest.raises(UserError, match=r"no DeepSpeed state \(`save_only_model: true` leaves it out\)") as caught:
        choose(views(tmp_path), Run("out", 2, deepspeed=True, save_only_model=True, lora=False))
    assert "model_name_or_path=out/checkpoint-20" in str(caught.value)
    assert "set `save_only_model: false`" in str(caught.value)
    choice = choose(views(tmp_path), Run("out", 2, save_only_model=True))
    assert choice.resume == "checkpoint-20" and "new optimizer" in choice.notes[0]


def test_without_deepspeed_another_number_of_gpus_is_a_note(tmp_path):
    checkpoint(tmp_path, 20, kind="plain", world=2)
    choice = choose(views(tmp_path), Run("out", 4))
    assert choice.resume == "checkpoint-20" and "saved by 2 processes and this run has 4" in choice.notes[0]
    with pytest.raises(UserError, match="saved without DeepSpeed"):
        choose(views(tmp_path), RUN)


def test_nodes_with_disks_of_their_own(tmp_path):
    """Each holds the partitions of its processes; what counts is all of them together."""
    for node in (0, 1):
        folder = checkpoint(tmp_path / f"node{node}", 20)
        for path in [*folder.rglob(f"*rank_{1 - node}_*"), *folder.glob(f"rng_state_{1 - node}.pth")]:
            path.unlink()
    both = tmp_path / "node0", tmp_path / "node1"
    assert validate(tmp_path / "node0" / "checkpoint-20")
    assert choose(views(*both), RUN).resume == "checkpoint-20"
    (tmp_path / "node1" / "checkpoint-20" / TAG / OPTIM.format(1)).unlink()
    assert choose(views(*both), RUN).resume is None


def test_a_new_node_that_has_nothing(tmp_path):
    checkpoint(tmp_path / "node0", 20)
    with pytest.raises(UserError, match="1 of 2 nodes do not see it") as caught:
        choose(views(tmp_path / "node0", tmp_path / "node1"), RUN)
    assert "a volume that all nodes share" in str(caught.value)


def test_set_aside_never_overwrites(tmp_path):
    for content in ("one", "two", "three"):
        folder = tmp_path / "checkpoint-20"
        folder.mkdir()
        (folder / "x").write_text(content)
        set_aside(folder)
    names = [f"broken-checkpoint-20{suffix}" for suffix in ("", ".2", ".3")]
    assert [(tmp_path / name / "x").read_text() for name in names] == ["one", "two", "three"]
    assert set_aside(tmp_path / "checkpoint-20") is None and checkpoints(tmp_path) == []


RACE = """
import sys, time
from pathlib import Path
from lf_registry.resume.aside import set_aside
start = float(sys.argv[2])
while time.time() < start: pass
print(sum(set_aside(Path(sys.argv[1]) / f"checkpoint-{step}") is not None for step in range(200)))
"""


def test_processes_that_set_aside_at_the_same_time(tmp_path):
    for step in range(200):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "x").touch()
    command = [sys.executable, "-c", RACE, str(tmp_path), str(time.time() + 3)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sum(int(process.communicate()[0]) for process in processes) == 200
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"broken-checkpoint-{i}" for i in range(200))


HOLD = """
import sys
from pathlib import Path
from lf_registry.resume.lock import lock
lock(Path(sys.argv[1]))
print(1, flush=True)
sys.stdin.read()
"""


def test_a_second_training_in_the_same_folder_is_refused(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    with pytest.raises(UserError, match=f"another training writes into this folder .process {process.pid} on"):
        lock(tmp_path, patience=0)
    process.kill()
    process.communicate()
    lock(tmp_path)
    lock(tmp_path)


@pytest.fixture
def three(tmp_path):
    """Three checkpoints whose folders' times say the opposite of their numbers."""
    for place, step in enumerate((10, 20, 30)):
        os.utime(checkpoint(tmp_path, step), (1000 - place, 1000 - place))
    return tmp_path


def left(folder: Path) -> list[int]:
    return [int(path.name.split("-")[1]) for path in checkpoints(folder)]


@pytest.mark.parametrize(("limit", "kept"), [(1, [30]), (2, [30, 20]), (3, [30, 20, 10]), (None, [30, 20, 10])])
def test_the_oldest_by_number_are_deleted(three, limit, kept):
    assert rotate(three, limit, step=30) == [] and left(three) == kept


def test_what_an_earlier_run_left_is_older_than_the_new_one(three):
    """With ``overwrite_output_dir`` the run is at step 20 again; its own checkpoint must be the one that stays."""
    assert rotate(three, 2, step=20) == [] and left(three) == [20, 10]
    assert rotate(three, 1, step=20) == [] and left(three) == [20]


def test_the_best_is_kept(three):
    assert rotate(three, 1, str(three / "checkpoint-10"), step=30) == [] and left(three) == [30, 10]


def test_nothing_is_deleted_while_the_newest_is_not_whole(three):
    (three / "checkpoint-30" / "rng_state_1.pth").unlink()
    assert "no old checkpoint was deleted" in rotate(three, 1, step=30)[0] and left(three) == [30, 20, 10]


def test_too_little_room_is_seen_before_a_save(tmp_path):
    checkpoint(tmp_path, 20)
    (tmp_path / "checkpoint-25").mkdir()
    room.check_room(tmp_path, 1000, 30)
    with pytest.raises(UserError, match=r"checkpoint-30 takes about 9,\d+,\d+.* GB") as caught:
        room.check_room(tmp_path, 9 * 10**18, 30)
    assert "checkpoint-20 is whole (checkpoint-25: begun, not finished)" in str(caught.value)
    assert f"rm -r {tmp_path}/checkpoint-25" in str(caught.value)


def test_errors_that_mean_a_full_disk(tmp_path):
    def raised(error, cause=None):
        error.__cause__ = cause
        return error

    assert room.explained(OSError(28, "No space left on device"), tmp_path)
    assert room.explained(OSError(122, "Disk quota exceeded"), tmp_path)
    assert room.explained(raised(RuntimeError("save"), OSError(28, "x")), tmp_path)
    assert room.explained(RuntimeError("I/O error: No space left on device (os error 28)"), tmp_path)
    assert room.explained(OSError(13, "Permission denied"), tmp_path) is None
    assert room.explained(RuntimeError("PytorchStreamWriter failed writing file"), tmp_path) is None, "there is room"
