"""How many optimizer steps a run has, when that can be known without loading the data."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..dataset_info import read_dataset_info
from ..errors import UserError
from ..recipes import names
from .facts import get, is_on, number, stage, text

#: A JSON file above this size is not read for its number of rows; bytes.
LARGEST_JSON = 64 * 2**20
#: A JSONL file above this size is not counted; bytes.
LARGEST_JSONL = 512 * 2**20


def steps(values: dict[str, Any]) -> int | None:
    """The optimizer steps on one GPU (n GPUs make an n-th of them); None when they cannot be known.

    Transformers counts: batches = ceil(rows / batch), steps of an epoch = ceil(batches / accumulation).
    """
    most = number(values, "max_steps") or -1
    if most > 0:
        return int(most)
    rows = training_rows(values)
    batch, accumulation = number(values, "per_device_train_batch_size"), number(values, "gradient_accumulation_steps")
    epochs = number(values, "num_train_epochs")
    if not rows or not batch or not accumulation or not epochs or min(batch, accumulation, epochs) <= 0:
        return None
    whole = epochs * math.ceil(math.ceil(rows / batch) / accumulation)
    return math.ceil(whole) if math.isfinite(whole) else None


def training_rows(values: dict[str, Any]) -> int | None:
    """The rows that are trained on, before any is dropped for its content; None when they cannot be known."""
    packs = is_on(values, "packing") or is_on(values, "neat_packing") or stage(values) == "pt"
    if packs or is_on(values, "streaming") or get(values, "tokenized_path") or get(values, "mix_strategy") != "concat":
        return None
    folder = text(values, "dataset_dir")
    if folder is None:
        return None
    try:
        info = read_dataset_info(Path(folder))
    except (UserError, OSError):
        return None
    most = number(values, "max_samples")
    rows = 0
    for name in names(get(values, "dataset")):
        found = _rows(Path(folder), info.get(name, {}))
        if found is None:
            return None
        rows += min(found, int(most)) if most is not None else found
    held_out = number(values, "val_size") or 0
    return rows - (int(held_out) if held_out >= 1 else math.ceil(rows * held_out))


def _rows(folder: Path, entry: dict[str, Any]) -> int | None:
    if not isinstance(entry.get("file_name"), str) or "num_samples" in entry:
        return None
    path = folder / entry["file_name"]
    try:
        size = path.stat().st_size
        if path.suffix == ".jsonl" and size <= LARGEST_JSONL:
            with path.open("rb") as lines:
                return sum(1 for line in lines if line.strip())
        if path.suffix == ".json" and size <= LARGEST_JSON:
            rows = json.loads(path.read_text(encoding="utf-8"))
            return len(rows) if isinstance(rows, list) else None
    except (OSError, ValueError):
        return None
    return None
