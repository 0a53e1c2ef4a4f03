"""What a card says of the training: the hardware, and of a merged model what the adapter's folder knows."""

from __future__ import annotations

import json

import pytest

from card_folders import RESULTS, STATE, adapter, write
from lf_registry.publish.record import hardware

GPU = {"name": "NVIDIA H100 80GB HBM3", "memory": 85_899_345_920}


def log(folder, *starts):
    rows = [{"event": "start", "time": "2026-11-22T12:00:00", "gpus": gpus} | more for gpus, more in starts]
    write(folder, hardware_log_jsonl="".join(json.dumps(row) + "\n" for row in [*rows, {"time": "x", "cpu": 3}]))


@pytest.mark.parametrize(
    ("gpus", "processes", "text"),
    [
        (2, 2, "2x NVIDIA H100 80GB HBM3"),
        (8, 1, "1x NVIDIA H100 80GB HBM3"),
        (8, 16, "8x NVIDIA H100 80GB HBM3 on each of 2 machines"),
        (2, None, "2x NVIDIA H100 80GB HBM3"),
        (0, 1, ""),
    ],
)
def test_hardware(tmp_path, gpus, processes, text):
    log(tmp_path, ([{"name": "other"}], {}), ([GPU] * gpus, {"processes": processes}))
    assert hardware(tmp_path) == text


def test_hardware_is_in_the_card(card, tmp_path):
    folder = adapter(tmp_path / "run")
    assert hardware(folder.folder) == "" and "| hardware |" not in card(artifact=folder)[0]
    log(folder.folder, ([GPU, GPU], {"processes": 2}))
    assert "| hardware | 2x NVIDIA H100 80GB HBM3 |" in card(artifact=folder)[0]


def test_a_plot_without_a_curve_is_not_shown(card, tmp_path):
    folder = adapter(tmp_path / "run")
    assert "](training_loss.png)" in card(artifact=folder)[0]
    folder.facts["trainer_state"] = STATE | {"log_history": []}
    assert "](training_loss.png)" not in card(artifact=folder)[0], "it stays here, because its title cannot be trusted"


def test_a_merged_models_card_has_its_adapters_training(publish_here, merged_copy, adapter_copy):
    history = [{"step": 5, "epoch": 1.0, "loss": 2.5}, {"step": 15, "epoch": 3.0, "eval_loss": 1.75}]
    write(adapter_copy, trainer_state_json=STATE | {"global_step": 15, "log_history": history})
    write(adapter_copy, all_results_json=RESULTS, training_loss_png="", training_eval_loss_png="")
    log(adapter_copy, ([GPU], {"processes": 1}))
    path = merged_copy / "merge_report.json"
    report = json.loads(path.read_text())
    path.write_text(json.dumps(report | {"adapters": [str(adapter_copy)]}))

    text = publish_here(merged_copy, dry_run=True, card_only=True)
    for line in ("| time | 1 h 12 min |", "| evaluation loss | 1.75 |", "1x NVIDIA H100", "LoRA (r = ", "PEFT 0."):
        assert line in text
    assert "](training_loss.png)" in text and "Nothing was measured" not in text
    listed = publish_here(merged_copy, dry_run=True)
    assert "training_loss.png" in listed and "training_eval_loss.png" in listed

    # Trained again since: then nobody knows any more how the merged one was trained.
    (adapter_copy / "adapter_model.safetensors").write_bytes(b"another training's")
    text = publish_here(merged_copy, dry_run=True, card_only=True)
    assert "| time |" not in text and "training_loss.png" not in text and "Nothing was measured" in text
