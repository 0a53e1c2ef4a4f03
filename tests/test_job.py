"""The stages: what runs, what is skipped, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from job_runs import Desk

STAGES = ["lf-registry check", "llamafactory-cli train", "lf-registry merge"]


def test_every_stage_runs_once_and_a_second_run_repeats_nothing(desk: Desk):
    first = desk.job("recipe.yaml", "--merge", "merge.yaml", "--price", "3600")
    assert first.returncode == 0, first.stdout + first.stderr
    assert desk.verbs() == STAGES
    assert "train: trained" not in first.stdout and "\ntrained\n" in first.stdout  # what it prints is in the log
    assert "$3600.00 an hour" in first.stdout and "next: lf-registry publish outputs/merged REPO_ID" in first.stdout
    log = (desk.folder / "outputs/try.job/job.log").read_text()
    assert "\ntrained\n" in log and "train: done in" in log
    state = json.loads((desk.folder / "outputs/try.job/state.json").read_text())
    train = state["stages"]["train"]
    assert train["seconds"] > 0 and train["dollars"] == pytest.approx(train["seconds"])  # at a dollar a second
    again = desk.job("recipe.yaml", "--merge", "merge.yaml")
    assert again.returncode == 0 and desk.verbs() == []
    assert again.stdout.count("done before; skipped") == 3


@pytest.mark.parametrize(
    ("change", "repeated"),
    [
        (lambda here: (here / "outputs/merged/model.safetensors").unlink(), STAGES[2:]),
        (lambda here: (here / "outputs/try/adapter_model.safetensors").write_bytes(b"cut"), STAGES[1:]),
    ],
)
def test_a_marker_alone_is_not_believed(quick: Desk, change, repeated):
    quick.job("recipe.yaml", "--merge", "merge.yaml")
    quick.verbs()
    change(quick.folder)
    if "train" in repeated[0]:
        quick.environment["SEED"] = "2"  # another adapter: the model that was merged is an old one
    again = quick.job("recipe.yaml", "--merge", "merge.yaml")
    assert again.returncode == 0, again.stdout
    if "train" in repeated[0]:
        assert quick.calls[-1].endswith("--overwrite")
    assert quick.verbs() == repeated


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (["learning_rate=0.5"], lambda here: None),
        ([], lambda here: (here / "few.json").write_text('[{"instruction": "a", "output": "b"}]')),
    ],
)
def test_a_changed_recipe_or_dataset_is_refused_unless_accepted(quick: Desk, words, change):
    quick.job("recipe.yaml")
    quick.verbs()
    change(quick.folder)
    refused = quick.job("recipe.yaml", *words)
    assert refused.returncode == 1 and quick.verbs() == []
    assert ("learning_rate: not set -> 0.5" if words else "few.json has another content") in refused.stdout
    assert "output_dir=outputs/try-2" in refused.stdout
    accepted = quick.job("recipe.yaml", *words, "--accept-changes")
    assert accepted.returncode == 0 and quick.verbs() == ["lf-registry check"]


def test_a_key_that_changes_nothing_that_is_learned_is_no_change(quick: Desk):
    quick.job("recipe.yaml")
    quick.verbs()
    assert quick.job("recipe.yaml", "save_steps=2", "logging_steps=5").returncode == 0
    assert quick.verbs() == ["lf-registry check"]


def test_the_end_of_a_training_that_was_not_noted_is_seen(quick: Desk):
    quick.job("recipe.yaml")
    quick.verbs()
    path = quick.folder / "outputs/try.job/state.json"
    state = json.loads(path.read_text())
    state["stages"]["train"] |= {"finished": 0.0, "result": {}}
    path.write_text(json.dumps(state))
    again = quick.job("recipe.yaml")
    assert "its end was not noted" in again.stdout and quick.verbs() == []
    (quick.folder / "outputs/try/trainer_state.json").write_text('{"global_step": 1, "max_steps": 2}')
    state["stages"]["train"] |= {"finished": 0.0, "result": {}}
    path.write_text(json.dumps(state))
    assert quick.job("recipe.yaml").returncode == 0
    assert quick.verbs() == ["llamafactory-cli train"]


def test_a_folder_that_something_else_trained_into_is_refused(quick: Desk):
    (quick.folder / "outputs/try").mkdir(parents=True)
    (quick.folder / "outputs/try/adapter_model.safetensors").write_bytes(
        Path(quick.environment["WEIGHTS"]).read_bytes()
    )
    refused = quick.job("recipe.yaml")
    assert refused.returncode == 1 and "this job did not begin" in refused.stdout and quick.calls == []


@pytest.mark.parametrize(
    ("environment", "done", "said"),
    [
        ({"FAIL": "check"}, STAGES[:1], "check: failed with exit code 1"),
        ({"TRAIN": "fail"}, STAGES[:2], "goes on from the last whole checkpoint"),
        ({"TRAIN": "cut"}, STAGES[:2], "adapter_model.safetensors"),
        ({"FAIL": "merge"}, STAGES, "the training is not repeated"),
    ],
)
def test_after_a_failure_the_last_lines_say_what_to_do_and_the_next_run_goes_on(quick: Desk, environment, done, said):
    failed = quick.job("recipe.yaml", "--merge", "merge.yaml", **environment)
    assert failed.returncode == 1 and quick.verbs() == done
    assert said in failed.stdout and "next: " in failed.stdout.splitlines()[-1]
    again = quick.job("recipe.yaml", "--merge", "merge.yaml")
    assert again.returncode == 0, again.stdout
    assert quick.verbs() == STAGES[len(done) - 1 :]


def test_a_training_that_somebody_else_asked_to_stop_goes_on_while_it_makes_progress(quick: Desk):
    done = quick.job("recipe.yaml", TRAIN="once")
    assert done.returncode == 0, done.stdout
    assert quick.verbs() == [STAGES[0], STAGES[1], STAGES[1]]


def test_a_training_that_stops_without_progress_is_not_started_for_ever(quick: Desk):
    done = quick.job("recipe.yaml", TRAIN="never")
    assert done.returncode == 75 and quick.verbs() == STAGES[:2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_ctrl_c_reach_the_training_which_saves(desk: Desk, number):
    with subprocess.Popen(
        desk.command("recipe.yaml"),
        cwd=desk.folder,
        env=desk.environment | {"TRAIN": "hang"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_for(Path(desk.environment["CALLS"] + ".hangs"), process)
        second = desk.job("recipe.yaml")
        assert second.returncode == 1 and "try.job" in second.stderr and "process" in second.stderr  # the lock
        process.send_signal(number)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 75, printed
    assert "\nsaved\n" in printed and "run the same command again" in printed.splitlines()[-1]
    assert (desk.folder / "outputs/try/checkpoint-1").is_dir()


def test_a_hangup_does_not_end_the_job_and_the_death_of_python_ends_the_training(desk: Desk):
    with subprocess.Popen(
        desk.command("recipe.yaml"),
        cwd=desk.folder,
        env=desk.environment | {"TRAIN": "hang"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        wait_for(Path(desk.environment["CALLS"] + ".hangs"), process)
        os.killpg(process.pid, signal.SIGHUP)
        process.stdout.close()  # the terminal is gone
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        assert process.wait(60) == 128 + 9
    wait_for(desk.folder / "outputs/try/checkpoint-1/rng_state.pth")  # by then it has saved
    assert desk.job("recipe.yaml").returncode == 0


def wait_for(path: Path, process: subprocess.Popen | None = None, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not path.exists():
        assert process is None or process.poll() is None, "the job has ended"
        assert time.monotonic() < until, f"{path} does not appear"
        time.sleep(0.02)
