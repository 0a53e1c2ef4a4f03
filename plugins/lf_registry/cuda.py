"""Which CUDA version torch was built for, and which NVIDIA driver that takes, without importing torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path

#: CUDA's major version -> the oldest driver branch (Linux) that runs programs built for any of its minor versions:
#: NVIDIA's table of minor version compatibility (docs.nvidia.com/deploy/cuda-compatibility).
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}


def torch_cuda() -> str | None:
    """The CUDA version that torch was built for, read from its files; None: a CPU build, or no torch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    match = re.search(r"^cuda\b[^=]*=\s*['\"]([\d.]+)", text, re.MULTILINE)
    return match[1] if match else None


def major(version: str) -> int:
    """13 of ``13.0``, and 580 of a driver's ``580.95.05``; 0: it does not begin with a number."""
    match = re.match(r"\d+", version.strip())
    return int(match[0]) if match else 0


def too_old(driver: str, built: str) -> int | None:
    """The oldest driver branch that runs a program built for CUDA ``built``, when ``driver`` is older than that."""
    oldest = OLDEST_DRIVER.get(major(built))
    return oldest if oldest is not None and 0 < major(driver) < oldest else None


def way_out(built: str, runs: int) -> str:
    """What to do with a driver that is too old for torch: nobody can change the driver of a rented machine.

    Args:
        built: the CUDA version of torch.
        runs: CUDA's major version that the driver runs; 0: not known.
    """
    fix = f"choose a machine for CUDA {built} (RunPod: the filter CUDA {built}, or --min-cuda-version {built})"
    if runs not in OLDEST_DRIVER or runs < 12:
        return fix  # for CUDA 11 torch is not built any more
    version = _public(importlib.metadata.version("torch"))
    return (
        f"{fix}; or install torch {version}'s build for CUDA {runs}.x, of torchvision and torchaudio too (pytorch.org)"
    )


def _public(version: str) -> str:
    return version.partition("+")[0]
