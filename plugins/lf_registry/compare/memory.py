"""The most memory that a side took."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any


class Peak:
    """Measures from its creation on: the GPU's memory, or this process's main memory on Linux.

    Source: Linux, ``Documentation/filesystems/proc.rst`` (``clear_refs``: 5 resets the peak; ``VmHWM``: the peak).
    """

    def __init__(self, device: Any) -> None:
        self._device = device
        if device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(device)
        else:
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def bytes(self) -> int | None:
        """The peak so far; None where it cannot be known."""
        if self._device.type == "cuda":
            import torch

            return int(torch.cuda.max_memory_allocated(self._device))
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = Path("/proc/self/status").read_text(encoding="utf-8")
            return int(status.split("VmHWM:")[1].split()[0]) * 1024
        return None
