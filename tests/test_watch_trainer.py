"""The callback in a real Trainer, and the sampler's thread, without LLaMA-Factory."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import ROOT
from lf_registry.watch import LOG, seconds_between_samples
from lf_registry.watch.clock import PhaseClock
from lf_registry.watch.log import read_log
from lf_registry.watch.sampler import Sampler

SLEEP = 0.12


@pytest.fixture
def nvml(monkeypatch):
    """Put GPUs into this machine: keyword arguments of the fake driver."""

    def install(**machine):
        monkeypatch.setenv("FAKE_NVML", json.dumps(machine))
        monkeypatch.syspath_prepend(str(ROOT / "tests" / "fake_nvml"))
        sys.modules.pop("pynvml", None)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield install
    sys.modules.pop("pynvml", None)


def train(folder: Path, said: list[str], *, steps: int, resume: bool = False, **arguments):
    """Eight rows, two a step; a batch, an evaluation and a save each take ``SLEEP`` seconds."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_utils import set_seed

    from lf_registry.watch.callback import WatchCallback

    class Rows(torch.utils.data.Dataset):
        def __init__(self, slow: int) -> None:
            self.slow = slow

        def __len__(self):
            return 8

        def __getitem__(self, index):
            if index == self.slow:
                time.sleep(SLEEP)
            return {"x": torch.full((4,), float(index)), "labels": torch.tensor(1.0)}

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, x, labels):
            return {"loss": (self.layer(x).squeeze() - labels).square().mean()}

    class SlowSave(Trainer):
        def _save_checkpoint(self, *args, **kwargs):
            time.sleep(SLEEP)
            super()._save_checkpoint(*args, **kwargs)

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = control.should_training_stop or state.global_step >= steps

    set_seed(0)
    options = {"max_steps": 8, "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 4, "save_steps": 4}
    options |= {"per_device_train_batch_size": 2, "report_to": [], "use_cpu": True, "disable_tqdm": True} | arguments
    trainer = SlowSave(
        Model(),
        TrainingArguments(str(folder), **options),
        train_dataset=Rows(slow=3),
        eval_dataset=Rows(slow=5),
        callbacks=[Stop(), WatchCallback(0.05, said.append)],
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def total(rows, phase):
    return sum(row["seconds"].get(phase, 0.0) for row in rows if "seconds" in row)


def test_a_run_and_its_resumption(tmp_path, nvml):
    nvml(gpus=[{"busy": 75}, {"busy": 25, "used": 2**30}])
    said = []
    train(tmp_path, said, steps=4, load_best_model_at_end=True)
    rows, broken = read_log(tmp_path / LOG)
    first = len(rows)
    assert broken == 0 and rows[0]["event"] == "start" and rows[-1]["event"] == "end"
    assert [gpu["name"] for gpu in rows[0]["gpus"]] == ["NVIDIA A100-SXM4-80GB"] * 2
    for row in rows[1:-1]:
        assert row["gpu"] == [75, 25] and row["gpu_memory"] == [60 * 2**30, 2**30]
        assert row["ram"] > 0 and row["process_ram"] > 2**20 and row["disk_free"] > 0
    # One epoch: the slow row once for training, once for the evaluation, one checkpoint.
    for phase in ("data", "evaluate", "save"):
        assert total(rows, phase) >= SLEEP, phase
    assert sum(row.get("steps", 0) for row in rows) == 4
    assert rows[-2]["phase"] == "other" and rows[-1]["step"] == 4

    train(tmp_path, said, steps=8, resume=True)
    rows, _ = read_log(tmp_path / LOG)
    assert rows[first]["event"] == "start" and rows[first]["step"] == 4 and rows[-1]["step"] == 8
    assert [line for line in said if line.startswith("hardware: 8 steps") and "2 starts" in line]
    assert (tmp_path / "hardware.png").is_file() and (tmp_path / "training_loss.png").is_file()
    assert not [thread for thread in threading.enumerate() if thread.name == "lf-registry-watch"]


def test_without_a_gpu_nothing_is_said_about_it(tmp_path, nvml, monkeypatch):
    monkeypatch.setattr("lf_registry.watch.sampler.has_nvidia_device", lambda: False)
    nvml(error="Driver Not Loaded")
    said = []
    train(tmp_path, said, steps=1, save_strategy="no", eval_strategy="no")
    rows, _ = read_log(tmp_path / LOG)
    assert rows[0]["gpus"] == [] and len(rows) >= 3 and all("gpu" not in row for row in rows)
    assert len(said) == 2 and not any("GPU" in line for line in said)


def test_evaluation_and_saving_by_epoch_and_by_the_best(tmp_path, nvml):
    nvml(gpus=[])
    options = {"eval_strategy": "epoch", "save_strategy": "best", "metric_for_best_model": "loss"}
    train(tmp_path, [], steps=8, logging_strategy="epoch", learning_rate=0.001, **options)
    rows, _ = read_log(tmp_path / LOG)
    saved = len(list(tmp_path.glob("checkpoint-*")))
    assert saved >= 1 and total(rows, "save") >= saved * SLEEP
    assert total(rows, "evaluate") >= 2 * SLEEP


def test_other_processes_record_nothing(tmp_path):
    from lf_registry.watch.callback import WatchCallback

    callback = WatchCallback(0.05, pytest.fail)
    state = SimpleNamespace(is_world_process_zero=False, global_step=0, max_steps=4, log_history=[])
    arguments = SimpleNamespace(output_dir=str(tmp_path), world_size=2, save_strategy="no")
    for event in ("on_train_begin", "on_epoch_begin", "on_step_begin", "on_train_end"):
        getattr(callback, event)(arguments, state, SimpleNamespace())
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_does_not_stop_the_training(tmp_path, nvml):
    nvml(gpus=[])
    (tmp_path / LOG).mkdir()
    said = []
    trainer = train(tmp_path, said, steps=2, save_strategy="no", eval_strategy="no")
    assert trainer.state.global_step == 2
    (line,) = said
    assert LOG in line and "the training goes on, unwatched" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_ends_only_the_watching(tmp_path, nvml):
    nvml(gpus=[])
    said = []
    sampler = Sampler(tmp_path / LOG, PhaseClock(), 0.05, said.append)
    sampler.start(step=0)
    sampler._log._stream = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115
    sampler._thread.join(timeout=60)
    sampler.stop()
    assert len(said) == 1 and "No space left" in said[0]


def test_a_gpu_that_falls_off_the_bus_is_unknown_from_then_on(tmp_path, nvml):
    nvml(gpus=[{"busy": 50}], lost_after=0.0)
    sampler = Sampler(tmp_path / LOG, PhaseClock(), 0.05, pytest.fail)
    sampler.start(step=0)
    sampler.stop()
    rows, _ = read_log(tmp_path / LOG)
    assert rows[1]["gpu"] == [None] and rows[1]["gpu_memory"] == [60 * 2**30]


def test_a_gpu_without_the_package_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("lf_registry.watch.sampler.has_nvidia_device", lambda: True)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    said = []
    Sampler(tmp_path / LOG, PhaseClock(), 1, said.append)._log.close()
    assert said == ["watching without the GPU: the package nvidia-ml-py is not installed (pip install nvidia-ml-py)"]


def test_the_clock_adds_up_what_was_done():
    now = [0.0]
    clock = PhaseClock(lambda: now[0])
    for phase, seconds in (("data", 1), ("train", 2), ("data", 4)):
        clock.enter(phase)
        now[0] += seconds
    clock.begin_step()
    now[0] += 8
    clock.end_step(7)
    assert clock.take() == ({"other": 0.0, "data": 5.0, "train": 10.0}, 1, 8.0)
    now[0] += 16
    assert clock.take() == ({"train": 16.0}, 0, 0.0) and clock.step == 7


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), ("0", None), ("false", None), ("1", 1.0), ("true", 1.0), ("0.5", 0.5), ("30", 30)]
)
def test_the_variable(monkeypatch, text, seconds):
    monkeypatch.setenv("LF_REGISTRY_WATCH", text)
    assert seconds_between_samples() == seconds


@pytest.mark.parametrize("text", ["maybe", "-1", "0.001", "nan", "99999"])
def test_a_wrong_variable_is_said_before_anything_starts(monkeypatch, text):
    from lf_registry.errors import UserError
    from lf_registry.hooks.launcher import prepare

    monkeypatch.setenv("LF_REGISTRY_WATCH", text)
    with pytest.raises(UserError, match=r"LF_REGISTRY_WATCH=.*seconds between two samples"):
        prepare(["recipes/ironman_lora.yaml"], None)


def test_the_fake_driver_has_only_functions_of_the_real_one():
    """Runs where nvidia-ml-py is installed: its names and numbers of arguments are ours."""
    import importlib.metadata
    import importlib.util
    import inspect

    try:
        real = importlib.metadata.distribution("nvidia-ml-py").locate_file("pynvml.py")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("nvidia-ml-py is not installed")

    def load(path):
        spec = importlib.util.spec_from_file_location("loaded_nvml", path)
        module = sys.modules["loaded_nvml"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    ours, theirs = load(ROOT / "tests" / "fake_nvml" / "pynvml.py"), load(real)
    for name in (name for name in dir(ours) if name.lower().startswith("nvml")):
        assert hasattr(theirs, name), name
        if inspect.isfunction(getattr(ours, name)):
            wanted = list(inspect.signature(getattr(ours, name)).parameters)
            offered = inspect.signature(getattr(theirs, name)).parameters.values()
            needed = [parameter for parameter in offered if parameter.default is parameter.empty]
            assert len(needed) <= len(wanted) <= len(offered), name
        elif not inspect.isclass(getattr(ours, name)):
            assert getattr(ours, name) == getattr(theirs, name), name
