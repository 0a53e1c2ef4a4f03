"""What one machine sees of a checkpoint folder: plain data that can be sent to the other nodes."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from .files import damage

#: The same pattern by which Transformers finds checkpoints; a folder set aside does not match it.
NAME = re.compile(r"checkpoint-(\d+)$")
STATE = "trainer_state.json"


@dataclass(frozen=True)
class Look:
    """A checkpoint folder as it is on one machine.

    Attributes:
        names: its files, and those in its folders as ``folder/name``.
        damaged: file -> what is wrong with it.
        tag: what the file ``latest`` says: the folder of the ZeRO partitions; None without that file.
        step: ``global_step`` of ``trainer_state.json``; None when there is no readable one.
        epoch, epochs: how far the run was, and how far it was to go.
        shards: files that a weight index names.
    """

    names: frozenset[str]
    damaged: dict[str, str] = field(default_factory=dict)
    tag: str | None = None
    step: int | None = None
    epoch: float | None = None
    epochs: float | None = None
    shards: frozenset[str] = frozenset()


def checkpoints(folder: str | Path) -> list[Path]:
    """The checkpoint folders in an output folder, the newest (highest step) first."""
    try:
        found = [path for path in Path(folder).iterdir() if NAME.match(path.name) and path.is_dir()]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda path: step_of(path.name), reverse=True)


def step_of(name: str) -> int:
    """The step in a checkpoint's name."""
    match = NAME.match(name)
    assert match is not None, name
    return int(match[1])


def look(checkpoint: Path) -> Look:
    """Look at every file of a checkpoint; no weight is read.

    Raises:
        UserError: a file cannot be read, so that nothing can be said about it.
    """
    names = frozenset(
        (Path(place) / name).relative_to(checkpoint).as_posix()
        for place, _, files in os.walk(checkpoint)
        for name in files
    )
    damaged = {name: wrong for name in names if (wrong := damage(checkpoint / name)) is not None}
    state = _object(checkpoint / STATE) if STATE in names and STATE not in damaged else {}
    shards: set[str] = set()
    for name in names - damaged.keys():
        if name.endswith((".safetensors.index.json", ".bin.index.json")):
            shards |= set(_object(checkpoint / name).get("weight_map", {}).values())
    tag = None
    if "latest" in names:
        tag = (checkpoint / "latest").read_text(encoding="utf-8", errors="replace").strip()
    step = state.get("global_step")
    return Look(
        names,
        damaged,
        tag,
        step if isinstance(step, int) else None,
        _number(state.get("epoch")),
        _number(state.get("num_train_epochs")),
        frozenset(shards),
    )


def _object(path: Path) -> dict:
    value = json.loads(path.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
