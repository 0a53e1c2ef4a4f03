"""kill -9 of a whole training at random moments: the result is that of a run that was never interrupted.

LF_REGISTRY_SOAK: how many kills.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lf_registry.resume.look import checkpoints
from resume_runs import Run, Trainer, losses

KILLS = int(os.environ.get("LF_REGISTRY_SOAK", "3"))
STEPS, KILLS_A_RUN = 12, 5


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
    """The result of a run, and by how much a second one differs from it."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    runs = [trainer.train(folder / name) for name in ("one", "two")]
    assert [run.wait() for run in runs] == [[0, 0], [0, 0]], runs[0].printed[-3000:]
    results = [result(run.out) for run in runs]
    return results[0], difference(*results)


def logged(out: Path) -> list[int]:
    """The steps that were logged so far; the last line may be cut off."""
    log = out / "trainer_log.jsonl"
    found = re.findall(r'"current_steps": (\d+),.*}$', log.read_text(), re.MULTILINE) if log.exists() else []
    return [int(step) for step in found]


def wait_and_kill(run: Run, source: random.Random) -> Fault | None:
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
        delay = source.random() * 8
        time.sleep(delay)
        moment = f"{delay:.1f} s after the start"
    run.signal(signal.SIGKILL)
    codes = run.wait()
    assert set(codes) <= {-signal.SIGKILL, 0}, run.printed[-3000:]
    return None if codes == [0, 0] else Fault(moment, (logged(run.out)[steps:] or [None])[-1])


def test_a_training_that_is_killed_again_and_again_ends_like_one_that_is_not(trainer, uninterrupted, tmp_path, capsys):
    expected, tolerance = uninterrupted
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
            fault = wait_and_kill(run, source) if here < KILLS_A_RUN and len(faults) < KILLS else None
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
