"""The GPUs we know, with memory, speed and price; a user's file overrides ours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, did_you_mean
from ..registry import read_yaml

GPUS_FILE = Path(__file__).with_name("gpus.yaml")
COUNTS = (1, 2, 4, 8)
_NUMBERS = ("memory_gib", "tflops", "bandwidth", "utilization")
_KEYS = (*_NUMBERS, "bf16", "dollars")


@dataclass(frozen=True)
class Gpu:
    """One type of GPU.

    Attributes:
        memory_gib: GiB as nvidia-smi reports them.
        tflops: dense 16-bit tensor throughput.
        bandwidth: of its memory, GB/s.
        utilization: assumed share of ``tflops`` that training reaches.
        bf16: whether it computes in bf16.
        dollars: an hour on demand; None where no price is known.
        as_of: when the price was looked up.
    """

    name: str
    memory_gib: float
    tflops: float
    bandwidth: float
    utilization: float
    bf16: bool
    dollars: float | None
    as_of: str


def load_gpus(prices: Path | None = None) -> dict[str, Gpu]:
    """Read our GPUs, and a user's file over them, which may change single figures or add cards.

    Raises:
        UserError: lists everything that is wrong in a file.
    """
    merged: dict[str, dict[str, Any]] = {}
    for path in [GPUS_FILE, *([prices] if prices else [])]:
        content = read_yaml(path)
        entries = content.get("gpus")
        problems = [f"{path}: {key}: unknown key; {_known(key)}" for key in content if key not in ("as_of", "gpus")]
        if not isinstance(entries, dict):
            raise UserError([*problems, f"{path}: gpus: must hold one entry a GPU, like our own file"])
        as_of = str(content.get("as_of", "an unknown date"))
        for name, entry in entries.items():
            new = merged.get(str(name), {"bf16": True, "dollars": None, "utilization": 0.35})
            if not isinstance(entry, dict):
                problems.append(f"{path}: {name}: must hold `key: value`, holds {entry!r}")
                continue
            problems += [f"{path}: {name}: {key}: unknown key; {_known(str(key))}" for key in entry if key not in _KEYS]
            merged[str(name)] = new | entry | ({"as_of": as_of} if "dollars" in entry else {})
            problems += [f"{path}: {name}: {problem}" for problem in _wrong(merged[str(name)])]
        if problems:
            raise UserError(problems)
    return {name: Gpu(name=name, **{"as_of": "an unknown date"} | entry) for name, entry in merged.items()}


def _known(key: str) -> str:
    return did_you_mean(key, (*_KEYS, "as_of", "gpus"), kind="keys")


def _wrong(entry: dict[str, Any]) -> list[str]:
    problems = []
    for key in _NUMBERS:
        value = entry.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
            problems.append(f"{key}: needs a number above 0, is {value!r}")
    if isinstance(entry.get("utilization"), int | float) and entry["utilization"] > 1:
        problems.append(f"utilization: a share, so at most 1, is {entry['utilization']!r}")
    price = entry.get("dollars")
    if price is not None and (
        not isinstance(price, int | float) or isinstance(price, bool) or not 0 <= price < math.inf
    ):
        problems.append(f"dollars: needs a number from 0 up, is {price!r}")
    if not isinstance(entry.get("bf16"), bool):
        problems.append(f"bf16: needs true or false, is {entry.get('bf16')!r}")
    return problems
