"""The GPUs we know, with memory, speed and price; a user's file overrides ours."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, WrongUsage, did_you_mean
from ..registry import read_yaml

GPUS_FILE = Path(__file__).with_name("gpus.yaml")
COUNTS = (1, 2, 4, 8)
_NUMBERS = ("memory_gib", "tflops", "bandwidth", "utilization")
_KEYS = (*_NUMBERS, "bf16", "dollars")
#: People write a card's name in more than one way.
_SHORT = {"A100": "A100-80GB", "H100": "H100-80GB-SXM", "H100-80GB": "H100-80GB-SXM", "V100": "V100-32GB"}


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


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def parse_gpus(text: str, known: dict[str, Gpu]) -> tuple[int, Gpu]:
    """Read ``2xA100-80GB`` (or ``A100-80GB`` for one).

    Raises:
        WrongUsage: no such GPU, with the names that were probably meant, or no such form.
    """
    match = re.fullmatch(r"\s*(?:([0-9]+)\s*[xX*×]\s*)?(\S.*?)\s*", text)
    if not match or (match[1] is not None and not 1 <= int(match[1]) <= 1024):
        raise WrongUsage(f"--gpus {text!r}: write a count and a type, for example 2xA100-80GB")
    wanted = match[2]
    names = {_plain(short): name for short, name in _SHORT.items()} | {_plain(name): name for name in known}
    found = names.get(_plain(wanted)) or names.get(_plain(f"RTX-{wanted}"))
    if found is None:
        raise WrongUsage(f"--gpus: {match[2]!r} is not known; {did_you_mean(wanted, known, kind='GPUs')}")
    return int(match[1] or 1), known[found]
