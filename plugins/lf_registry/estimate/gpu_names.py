"""The GPUs that a user names: ``2xA100-80GB``, ``4090x2``, or what nvidia-smi prints."""

from __future__ import annotations

import re

from ..errors import WrongUsage, did_you_mean
from .gpus import Gpu

#: People write a card's name in more than one way.
_SHORT = {
    "A100": "A100-80GB",
    "H100": "H100-80GB-SXM",
    "H100-80GB": "H100-80GB-SXM",
    "H100-SXM": "H100-80GB-SXM",
    "H100-PCIe": "H100-80GB-PCIe",
    "V100": "V100-32GB",
}
_VENDOR = re.compile(r"\b(?:nvidia|geforce|tesla|quadro)\b")
_TIMES = r"\s*[xX*×]\s*"
_MOST = 1024


def parse_gpus(text: str, known: dict[str, Gpu]) -> tuple[int, Gpu]:
    """Read ``2xA100-80GB``, ``A100-80GB*2``, or ``A100-80GB`` for one.

    Raises:
        WrongUsage: no such GPU, with the names that were probably meant, or no such form.
    """
    text = text.strip()
    front, back = re.fullmatch(rf"([0-9]+){_TIMES}(.+)", text), re.fullmatch(rf"(.+?){_TIMES}([0-9]+)", text)
    # A whole name goes first: RTX4090 is not 4090 times RT.
    readings = [(text, "1")] + ([(front[2], front[1])] if front else []) + ([(back[1], back[2])] if back else [])
    for name, count in readings:
        found = _find(name, known)
        if found is not None:
            if not 1 <= int(count) <= _MOST:
                break
            return int(count), known[found]
    else:
        name = front[2] if front else text
        if re.search(r"[^\W\d_]", name):
            raise WrongUsage(f"--gpus: {name!r} is not known; {did_you_mean(name, known, kind='GPUs')}")
    raise WrongUsage(f"--gpus {text!r}: write a count (1 to {_MOST}) and a type, for example 2xA100-80GB")


def _find(name: str, known: dict[str, Gpu]) -> str | None:
    """The name of ours that a name means, vendor words and the form of the board left aside where they say nothing."""
    names = {_words(short): full for short, full in _SHORT.items() if full in known} | {_words(n): n for n in known}
    words = _words(name)
    joined = {"".join(key): full for key, full in names.items()}
    for candidate in ("".join(words), "rtx" + "".join(words)):
        if candidate in joined:
            return joined[candidate]
    sets = {frozenset(key): full for key, full in names.items()}
    return sets.get(frozenset(words)) or sets.get(frozenset(words) - {"sxm", "pcie"})


def _words(name: str) -> tuple[str, ...]:
    """``NVIDIA A100-SXM4-80GB`` -> a100, sxm, 80gb; nvidia-smi says HBM3 of an H100 on an SXM board."""
    plain = _VENDOR.sub(" ", name.lower().replace("_", " "))
    return tuple(re.sub(r"^(?:sxm\d|hbm\d\w?)$", "sxm", word) for word in re.split(r"[\s-]+", plain) if word)
