"""What the hardware log and the losses say, and that the figures say it too."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lf_registry.watch.draw import draw_all
from lf_registry.watch.history import duration, idle_seconds, sessions, summarize, summary_text
from lf_registry.watch.log import LogWriter, read_log
from lf_registry.watch.loss import read_curves, turn_text, turning_point


def start(time, step=0, gpus=1):
    return {"event": "start", "time": time, "step": step, "ram": 2**34, "gpus": [{"name": "A", "memory": 2**35}] * gpus}


def sample(time, busy=(100,), steps=1, **seconds):
    row = {"time": time, "step": 1, "phase": "train", "seconds": seconds, "steps": steps, "step_seconds": 0.5}
    row |= {"cpu": 50.0, "ram": 2**33}
    return row | ({"gpu": list(busy), "gpu_memory": [2**34] * len(busy)} if busy else {})


@pytest.mark.parametrize(
    ("row", "idle"),
    [
        (sample(1, (100,), train=1.0), {"train": 0.0}),
        (sample(1, (40,), train=1.0), {"train": 0.6}),
        (sample(1, (40,), train=0.5, data=0.5), {"data": 0.5, "train": 0.1}),
        (sample(1, (80,), train=0.2, save=0.6, evaluate=0.2), {"save": 0.15, "evaluate": 0.05, "train": 0.0}),
        (sample(1, (100, 0), train=0.5, data=0.5), {"data": 0.5, "train": 0.0}),
        (sample(1, (None, 0), data=1.0), {"data": 1.0}),
    ],
)
def test_idle_time_is_put_down_to_what_the_gpu_waits_for(row, idle):
    found = idle_seconds(row)
    assert {phase: value for phase, value in found.items() if value or phase == "train"} == pytest.approx(
        {"train": 0.0} | idle
    )


@pytest.mark.parametrize("busy", [(), (None, None)])
def test_no_gpu_is_no_idle_gpu(busy):
    assert idle_seconds(sample(1, busy, train=1.0)) == {}


def test_a_resumed_run_is_one_run_and_a_new_one_starts_over():
    first = [start(0), sample(1, train=1.0)]
    run = [start(100), sample(101, (50,), train=0.5, data=0.5), start(161, step=8), sample(162, train=1.0)]
    summary = summarize(sessions(first + run))
    assert (summary.starts, summary.steps, summary.lost, summary.step_seconds) == (2, 2, 60, 0.5)
    assert summary.seconds["train"] == 1.5
    text = summary_text(summary)
    assert text == "hardware: 2 steps of 0.5 s in 2 s, 2 starts; GPU idle 25 % of the time (waiting for data 25 %)"
    without = summarize(sessions([start(0, gpus=0), sample(1, (), train=3.0, save=1.0)]))
    assert summary_text(without) == "hardware: 1 steps of 0.5 s in 4 s; training 75 %, saving 25 %"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "new" / "log.jsonl"
    for time in (1, 2):
        log = LogWriter(path)
        log.write({"time": time, "name": "가"})
        log.close()
        with path.open("ab") as stream:
            stream.write(b'{"time": 1.5, "ste')
    rows, broken = read_log(path)
    assert [row["time"] for row in rows] == [1, 2] and broken == 2
    assert "가" in path.read_text(encoding="utf-8")
    assert read_log(tmp_path / "none.jsonl") == ([], 0)


def losses(train, evaluations, name=""):
    key = f"eval_{name}_loss" if name else "eval_loss"
    rows = [{"epoch": (i + 1) / 2, "step": i + 1, "loss": loss} for i, loss in enumerate(train)]
    return rows + [{"epoch": i + 1.0, "step": 2 * i + 2, key: loss} for i, loss in enumerate(evaluations)]


FALLING = [2.0, 1.8, 1.6, 1.4, 1.2, 1.0, 0.8, 0.6]


@pytest.mark.parametrize(
    ("train", "evaluations", "epoch", "by_heart"),
    [
        (FALLING, [1.9, 1.5, 1.6, 1.8], 2.0, True),
        (FALLING, [1.9, 1.5, 1.5, 1.51], None, None),  # noise
        (FALLING, [1.9, 1.7, 1.5, 1.4], None, None),  # still falls
        (FALLING, [1.5], None, None),
        (FALLING, [1.0, 1.1, 1.2, 1.3], 1.0, True),  # from the start
        ([2.0, 1.8, 1.5, 1.4, 1.9, 2.4, 3.0, 3.5], [1.9, 1.5, 2.6, 3.8], 2.0, False),  # diverges
        (FALLING, [2.0, 2.3, 1.5, 1.2], None, None),  # a bump that is over
    ],
)
def test_where_the_evaluation_loss_turns_up(train, evaluations, epoch, by_heart):
    turn = turning_point(read_curves(losses(train, evaluations)))
    assert (turn and turn.epoch) == epoch
    if turn is not None:
        assert turn.learns_by_heart is by_heart
        assert ("num_train_epochs=" in turn_text(turn)) is by_heart
        assert ("learning_rate" in turn_text(turn)) is not by_heart


def test_epoch_means_and_named_evaluation_sets():
    history = [*losses(FALLING, [1, 2], "ironman"), {"epoch": 4.0, "step": 8, "train_loss": 9.0, "loss": float("nan")}]
    curves = read_curves(history)
    assert [(end, round(mean, 9)) for end, mean in curves.means] == [(1.0, 1.9), (2.0, 1.5), (3.0, 1.1), (4.0, 0.7)]
    assert curves.evaluations == {"ironman": [(1.0, 1), (2.0, 2)]}
    assert turning_point(curves, "ironman").epoch == 1.0
    again = [{"epoch": 0.5, "step": 1, "loss": 5.0}, {"epoch": 0.5, "step": 1, "loss": 2.0}]
    assert read_curves(again).train == [(0.5, 2.0)]


def texts(figure):
    from matplotlib.text import Text

    return " ".join(text.get_text() for text in figure.findobj(Text))


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were written: name -> everything written in it."""
    from lf_registry.watch import image

    found = {}
    save = image.save

    def keep(figure, path):
        found[path.name] = texts(figure)
        save(figure, path)

    for module in ("figure_hardware", "figure_loss"):
        monkeypatch.setattr(f"lf_registry.watch.{module}.save", keep)
    return found


@pytest.mark.parametrize("gpus", [0, 1, 3])
def test_the_figures(tmp_path, drawn, gpus):
    folder = tmp_path / "한글"
    log = LogWriter(folder / "hardware_log.jsonl")
    for first, step in ((0, 0), (9000, 40)):
        log.write(start(first, step, gpus))
        for i in range(2500):
            log.write(sample(first + i, (60,) * gpus, train=0.7, data=0.2, save=0.1))
    log.close()
    lines = draw_all(folder, losses(FALLING, [1.9, 1.5, 1.6, 1.8], "질문"))
    assert len(lines) == 3 and "learns by heart" in lines[1]
    for name in ("hardware.png", "training_loss.png"):
        content = (folder / name).read_bytes()
        assert content.startswith(b"\x89PNG") and 10_000 < len(content) < 500_000
    assert "training 70 %" in drawn["hardware.png"] and "started again" in drawn["hardware.png"]
    assert ("GPU idle" in drawn["hardware.png"]) is bool(gpus)
    assert ("GPU 2 (32 GiB)" in drawn["hardware.png"]) is (gpus == 3)
    assert "turns up after epoch 2: over-fitting" in drawn["training_loss.png"]


def test_nothing_to_draw_and_nowhere_to_draw(tmp_path):
    (line,) = draw_all(tmp_path, [])
    assert "nothing was recorded" in line
    log = LogWriter(tmp_path / "hardware_log.jsonl")
    log.write(start(0))
    log.write(sample(1, train=1.0))
    log.close()
    (tmp_path / "hardware.png").mkdir()
    (line,) = draw_all(tmp_path, [])
    assert "no figure (UserError" in line and "hardware.png" in line


def test_drawing_a_run_that_was_killed(tmp_path):
    log = LogWriter(tmp_path / "hardware_log.jsonl")
    log.write(start(0))
    log.write(sample(1, train=1.0))
    log.close()
    for step, history in ((4, losses(FALLING, [1.5])), (8, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        text = json.dumps({"log_history": history}) if history else '{"log_his'
        (folder / "trainer_state.json").write_text(text)
        os.utime(folder / "trainer_state.json", (step, step))
    command = [sys.executable, "-m", "lf_registry.watch"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("hardware: 1 steps") and (tmp_path / "training_loss.png").is_file()
    wrong = subprocess.run([*command, "nowhere"], capture_output=True, text=True, check=False, env=os.environ)
    assert wrong.returncode == 2 and "usage:" in wrong.stderr
