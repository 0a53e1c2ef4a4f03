"""Checkpoint folders as a training leaves them: real files of torch.save and safetensors, a few bytes each."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file


def checkpoint(out: Path, step: int, *, world: int = 2, kind: str = "zero3") -> Path:
    """One whole checkpoint.

    Args:
        out: the output folder.
        step: its number.
        world: processes.
        kind: ``zero3``, ``zero2``, ``plain`` (no DeepSpeed) or ``weights`` (``save_only_model``).
    """
    folder = out / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    save_file({"a": torch.ones(3)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")
    torch.save({"x": 1}, folder / "training_args.bin")
    if kind.startswith("zero"):
        tag = folder / f"global_step{step}"
        tag.mkdir()
        for rank in range(world):
            torch.save({"x": torch.ones(2)}, tag / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
            if kind == "zero3":
                torch.save({"x": 1}, tag / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt")
        if kind == "zero2":
            torch.save({"x": 1}, tag / "mp_rank_00_model_states.pt")
        (folder / "latest").write_text(tag.name)
    elif kind == "plain":
        torch.save({"x": torch.ones(2)}, folder / "optimizer.pt")
    if kind != "weights":
        torch.save({"x": 1}, folder / "scheduler.pt")
        for rank in range(world):
            name = "rng_state.pth" if world == 1 else f"rng_state_{rank}.pth"
            torch.save({"x": 1}, folder / name)
    state = {"global_step": step, "epoch": step / 10, "num_train_epochs": 3}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    return folder


def cut(path: Path, share: float = 0.5) -> None:
    """Leave the beginning of a file, as a process does that was killed while writing it."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
