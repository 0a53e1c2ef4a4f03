"""What a training says of itself, also where its adapter was merged into a model since."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from ..files import is_dir
from ..fingerprint import identity_of, weights_fingerprint
from ..watch import LOG
from ..watch.log import read_log

#: The JSON files of a training, as far as a merge leaves them behind.
RECORD = ("trainer_state", "all_results", "train_results", "eval_results", "adapter_config")


def record_folder(folder: Path, facts: dict[str, Any]) -> Path:
    """Where a training's state and plots are: in its own folder; of a merged model, in the adapter's.

    The adapter's counts only while it is still the one that was merged: by the fingerprint in ``merge_report.json``.
    """
    adapters = facts.get("merge_report", {}).get("adapters")
    if "trainer_state" in facts or not isinstance(adapters, list) or len(adapters) != 1 or not is_dir(str(adapters[0])):
        return folder
    adapter = Path(str(adapters[0]))
    merged = identity_of(folder).merged_from
    return adapter if merged is not None and weights_fingerprint(adapter) == merged else folder


def hardware(folder: Path) -> str:
    """The GPUs of the run that wrote ``hardware_log.jsonl`` last: ``2x NVIDIA H100``; empty when nobody knows.

    The log has the GPUs of the first machine; a run with fewer processes uses the first of them, one with more has more
    machines.
    """
    start = next((row for row in reversed(read_log(folder / LOG)[0]) if row.get("event") == "start"), {})
    gpus = start.get("gpus") or ()
    names = [gpu["name"] for gpu in gpus if isinstance(gpu, dict) and isinstance(gpu.get("name"), str)]
    processes = start.get("processes")
    many = processes if isinstance(processes, int) and processes > 0 else len(names)
    text = ", ".join(f"{count}x {name}" for name, count in Counter(names[:many]).items())
    return f"{text} on each of {many // len(names)} machines" if names and many > len(names) else text


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None when there is none, ``complete`` says why."""
    try:
        value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
