"""Real trainings, ZeRO-3, two processes: killed, asked to save, asked to stop, out of room, resumed by other runs.

One file, so that all of them share one server. LF_REGISTRY_SOAK: how many kills; then also by LLaMA-Factory's command.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conftest import ROOT
from lf_registry.resume import stop
from lf_registry.resume.judge import validate
from lf_registry.resume.look import checkpoints
from resume_runs import STEPS, Run, Trainer, losses

SOAK = "LF_REGISTRY_SOAK" in os.environ
KILLS = int(os.environ.get("LF_REGISTRY_SOAK", "3"))
KILLS_A_RUN = 5


@dataclass
class Fault:
    """One kill, and what the next start made of it."""

    moment: str
    step: int | None  # that it had reached since its start; None: none yet
    resumed: int = 0
    aside: int = 0

    def __str__(self) -> str:
        killed = f"{self.moment:24} killed at step {'-' if self.step is None else self.step:>2}"
        return f"{killed}  resumed from {self.resumed:2}  lost {self.lost}  set aside {self.aside}"

    @property
    def lost(self) -> int:
        return 0 if self.step is None else self.step - self.resumed


def result(out: Path) -> tuple[list[float], dict[str, torch.Tensor]]:
    return losses(out), load_file(out / "adapter_model.safetensors")


def difference(one, other) -> float:
    (losses_one, adapter_one), (losses_other, adapter_other) = one, other
    assert len(losses_one) == len(losses_other) == STEPS and adapter_one.keys() == adapter_other.keys()
    apart = [abs(a - b) for a, b in zip(losses_one, losses_other, strict=True)]
    return max([*apart, *((adapter_one[name] - adapter_other[name]).abs().max().item() for name in adapter_one)])


@pytest.fixture(scope="module")
def uninterrupted(trainer: Trainer, tmp_path_factory):
    """The result of a run, by how much a second one differs (on a CPU: not at all; the soak looks), and its seconds."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    started = time.monotonic()
    runs = [trainer.train(folder / name) for name in (("one", "two") if SOAK else ("one",))]
    assert all(run.wait() == [0, 0] for run in runs), runs[0].printed[-3000:]
    seconds = (time.monotonic() - started) / len(runs)
    results = [result(run.out) for run in runs]
    return results[0], difference(results[0], results[-1]), seconds


def logged(out: Path) -> list[int]:
    """The steps that were logged so far; the last line may be cut off."""
    log = out / "trainer_log.jsonl"
    found = re.findall(r'"current_steps": (\d+),.*}$', log.read_text(), re.MULTILINE) if log.exists() else []
    return [int(step) for step in found]


def wait_and_kill(run: Run, source: random.Random, seconds: float) -> Fault | None:
    """Kill the run at a random moment, two times of three inside a save; None when it was quicker."""
    before, steps = {path.name for path in checkpoints(run.out)}, len(logged(run.out))
    if source.random() < 2 / 3:
        saves, delay = source.choice([1, 1, 2]), source.random() * 0.12
        until = time.monotonic() + 180
        new: set[str] = set()
        while len(new) < saves and time.monotonic() < until and not (run.out / "all_results.json").exists():
            new |= {path.name for path in checkpoints(run.out)} - before
            time.sleep(0.001)
        time.sleep(delay)
        moment = f"{delay * 1000:.0f} ms into a save"
    else:
        delay = source.random() * seconds
        time.sleep(delay)
        moment = f"{delay:.1f} s after the start"
    run.signal(signal.SIGKILL)
    codes = run.wait()
    assert set(codes) <= {-signal.SIGKILL, 0}, run.printed[-3000:]
    return None if codes == [0, 0] else Fault(moment, (logged(run.out)[steps:] or [None])[-1])


def test_a_training_that_is_killed_again_and_again_ends_like_one_that_is_not(trainer, uninterrupted, tmp_path, capsys):
    expected, tolerance, seconds = uninterrupted
    source = random.Random(6)
    faults: list[Fault] = []
    number = 0
    while len(faults) < KILLS:
        out = tmp_path / f"run-{number}"
        number += 1
        here = 0
        while True:
            kept = set(out.glob("broken-checkpoint-*"))
            run = trainer.start(out)
            fault = wait_and_kill(run, source, seconds) if here < KILLS_A_RUN and len(faults) < KILLS else None
            codes = run.wait()
            if here and (resumed := re.search(r"Resuming training from \S+checkpoint-(\d+)", run.printed)):
                faults[-1].resumed = int(resumed[1])
            if here:
                faults[-1].aside = len(set(out.glob("broken-checkpoint-*")) - kept)
            if fault is None:
                assert codes == [0, 0], run.printed[-3000:]
                break
            faults.append(fault)
            here += 1
        assert difference(result(out), expected) <= tolerance
    table = "\n".join(map(str, faults))
    summary = (
        f"{len(faults)} kills in {number} runs, {sum(fault.resumed > 0 for fault in faults)} resumes, "
        f"{sum(fault.lost for fault in faults)} steps lost, "
        f"{sum(fault.aside for fault in faults)} broken checkpoints set aside; "
        f"an uninterrupted pair differs by {tolerance:g}"
    )
    with capsys.disabled():
        print(f"\n{table}\n{summary}")


#: Long enough to be asked something, with no save of its own before the end.
LONG = ("max_steps=400", "save_steps=400", "logging_steps=10")


def saved(out: Path) -> list[int]:
    return [int(path.name.split("-")[1]) for path in checkpoints(out)]


def test_a_trigger_file_and_a_signal_save_and_sigterm_saves_and_stops(trainer, tmp_path):
    out = tmp_path / "out"
    run = trainer.start(out, *LONG)
    run.wait_for("trainer_log.jsonl")
    (out / "SAVE").touch()
    run.wait_for("checkpoint-*/trainer_state.json")
    while (out / "SAVE").exists():
        time.sleep(0.01)
    first = saved(out)
    assert len(first) == 1
    os.kill(run.group, signal.SIGUSR1)  # one process of the two is enough
    while len(saved(out)) == 1:
        time.sleep(0.01)
    os.kill(run.group, signal.SIGTERM)
    assert run.wait() == [stop.RESUME_ME] * 2, run.printed[-3000:]
    steps = saved(out)
    assert len(steps) == 2, "save_total_limit: 2 holds for these too"
    assert all(validate(path) == [] for path in checkpoints(out))
    assert stop.marked(out)["step"] == steps[0] and not (out / "adapter_model.safetensors").exists()
    assert run.printed.count("because SIGTERM asked for it") == 1
    end = steps[0] + 3
    again = trainer.train(out, f"max_steps={end}", "save_steps=400", "logging_steps=1")
    assert again.wait() == [0, 0], again.printed[-3000:]
    assert f"Resuming training from {out}/checkpoint-{steps[0]}" in again.printed
    assert stop.marked(out) is None
    assert json.loads((out / "trainer_state.json").read_text())["global_step"] == end


#: At step 3, before the save of that step, some seconds of it.
EVALUATION = ("eval_dataset=ironman", "eval_strategy=steps", "eval_steps=3", "per_device_eval_batch_size=1")


def test_stop_leaves_an_evaluation_and_keeps_the_optimizer_that_save_only_model_leaves_out(trainer, tmp_path):
    out = tmp_path / "out"
    few = ("max_steps=400", "save_steps=3", "save_only_model=true", "save_total_limit=1")
    run = trainer.start(out, *few, *EVALUATION, "max_samples=2000")
    until = time.monotonic() + 120
    while "Running Evaluation" not in run.printed:
        assert time.monotonic() < until, run.printed[-3000:]
        time.sleep(0.01)
    os.kill(run.group, signal.SIGTERM)  # one process of the two is enough
    assert run.wait() == [stop.RESUME_ME] * 2, run.printed[-3000:]
    assert "eval_loss" not in run.printed and "Traceback" not in run.printed
    assert run.printed.count("stopped at step 3 of 400, because SIGTERM asked for it") == 1
    (newest,) = checkpoints(out)
    assert saved(out) == [3] and stop.marked(out)["step"] == 3
    assert (newest / "latest").exists() and validate(newest) == []
    alone = trainer.train(out, world=1)
    assert alone.wait() == [1]
    assert "was saved by 2 processes (GPUs), and this run has 1" in alone.printed
    assert "Loading weights" not in alone.printed and "Traceback" not in alone.printed
    shutil.rmtree(newest / f"global_step{saved(out)[0]}")
    for name in ("latest", "scheduler.pt", "rng_state_0.pth", "rng_state_1.pth"):
        (newest / name).unlink()
    weights = trainer.train(out, "save_only_model=true")
    assert weights.wait() == [1, 1]
    assert weights.printed.count("has no DeepSpeed state (`save_only_model: true` leaves it out)") == 1
    assert "Traceback" not in weights.printed


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with 3 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here (it takes the right to mount)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


@pytest.mark.parametrize("seen_before", [True, False], ids=["before-the-save", "in-the-save"])
def test_a_full_disk(trainer, small_disk, seen_before):
    out = small_disk / "out"
    overrides = ["max_steps=6", "save_steps=2", "save_total_limit=5"]
    if not seen_before:  # nothing is known about the size, so the save begins
        (small_disk / "ballast").write_bytes(bytes((3 << 20) - 300_000))
    run = trainer.start(out, *overrides)
    if seen_before:
        run.wait_for("checkpoint-2/trainer_state.json")
        while validate(out / "checkpoint-2"):  # the file is there before it is written
            time.sleep(0.002)
        with (small_disk / "ballast").open("wb") as stream:
            stream.truncate(0)
            os.posix_fallocate(stream.fileno(), 0, os.statvfs(small_disk).f_bavail * 4096 - 200_000)
    deadline = time.monotonic() + 120
    while "error: " not in run.printed and time.monotonic() < deadline:
        time.sleep(0.05)
    run.signal(signal.SIGKILL)  # torchrun's part: one process failed, the other one waits for it
    run.wait()
    assert "so it was not begun" in run.printed if seen_before else "the disk is full" in run.printed
    assert "Traceback" not in run.printed
    if seen_before:
        assert "checkpoint-2 is whole" in run.printed and validate(out / "checkpoint-2") == []
    (small_disk / "ballast").unlink()
    again = trainer.train(out, *overrides)
    assert again.wait() == [0, 0], again.printed[-3000:]
    assert ("Resuming training from" in again.printed) == seen_before
    assert saved(out)[0] == 6 and validate(out / "checkpoint-6") == []


@pytest.mark.skipif(not SOAK, reason="a minute of importing; test_resume_stop.py has torchrun with small workers")
def test_the_real_command_passes_the_stop_on(trainer, tmp_path):
    """Launcher, torchrun and workers: a signal to the first reaches the last, and 75 comes back."""
    out, log = tmp_path / "out", tmp_path / "log"
    command = [str(Path(sys.executable).with_name("llamafactory-cli")), "train", str(trainer.recipe)]
    environment = os.environ | {"NPROC_PER_NODE": "2", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, f"output_dir={out}", *LONG],
            cwd=ROOT,
            env=environment,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            until = time.monotonic() + 300
            while not (out / "trainer_log.jsonl").exists():
                assert process.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
                time.sleep(0.02)
            process.send_signal(signal.SIGUSR1)
            while not saved(out):
                assert process.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGTERM)  # everybody at once, as a container or a batch system does it
            assert process.wait(timeout=200) == stop.RESUME_ME, log.read_text()[-3000:]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    text = log.read_text()
    assert "Traceback" not in text, text[-3000:]
    assert stop.marked(out)["checkpoint"] == checkpoints(out)[0].name and validate(checkpoints(out)[0]) == []
