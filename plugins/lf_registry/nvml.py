"""NVIDIA's management library (NVML), through ``nvidia-ml-py``: which GPUs there are and what they are doing.

NVML needs no CUDA context, so asking it costs a GPU nothing, and no import of torch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

#: NVML's numbers for "can read" and "yes" (nvml.h); nvidia-ml-py 13.615 has a tuple in place of the first.
_P2P_READ, _P2P_OK = 0, 0

#: What to type when the package is missing.
INSTALL = "pip install nvidia-ml-py"


@dataclass(frozen=True)
class Gpu:
    """One GPU that a run would use.

    Attributes:
        index: its place among the visible GPUs, as CUDA counts them.
        handle: NVML's.
        name: ``NVIDIA A100-SXM4-80GB``.
        memory: bytes in all.
    """

    index: int
    handle: Any
    name: str
    memory: int


class Nvml:
    """An open connection to the driver, and the GPUs that ``CUDA_VISIBLE_DEVICES`` leaves visible.

    Raises:
        OSError: no ``nvidia-ml-py``, no driver, or a driver that does not answer; ``str(error)`` says which.
    """

    def __init__(self) -> None:
        try:
            import pynvml
        except ImportError:
            raise OSError(f"the package nvidia-ml-py is not installed ({INSTALL})") from None
        self.library: ModuleType = pynvml
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise OSError(f"NVML does not start: {error}") from None
        try:
            self.gpus = tuple(self._describe(place, handle) for place, handle in enumerate(self._handles()))
        except pynvml.NVMLError as error:
            self.close()
            raise OSError(f"NVML does not describe the GPUs: {error}") from None

    def _handles(self) -> list[Any]:
        pynvml = self.library
        everything = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        if chosen is None:
            return everything
        handles: list[Any] = []
        for entry in (part.strip() for part in chosen.split(",")):
            if entry.isdigit() and int(entry) < len(everything):
                handles.append(everything[int(entry)])
            elif entry.startswith(("GPU-", "MIG-")):
                handles.append(pynvml.nvmlDeviceGetHandleByUUID(entry))
            else:
                break  # as CUDA does: an entry that is none hides all behind it
        return handles

    def _describe(self, index: int, handle: Any) -> Gpu:
        name = self.library.nvmlDeviceGetName(handle)
        memory = int(self.library.nvmlDeviceGetMemoryInfo(handle).total)
        return Gpu(index, handle, name.decode() if isinstance(name, bytes) else str(name), memory)

    def busy(self, gpu: Gpu) -> int | None:
        """Percent of the last sample period (a sixth of a second to a second) in which a kernel ran; None: unknown."""
        try:
            return int(self.library.nvmlDeviceGetUtilizationRates(gpu.handle).gpu)
        except self.library.NVMLError:  # a MIG slice has none; a lost GPU answers nothing
            return None

    def memory_used(self, gpu: Gpu) -> int | None:
        """Bytes in use, by every process; None: unknown."""
        try:
            return int(self.library.nvmlDeviceGetMemoryInfo(gpu.handle).used)
        except self.library.NVMLError:
            return None

    def capability(self, gpu: Gpu) -> float | None:
        """Compute capability: 8.0 for an A100; None: unknown."""
        try:
            major, minor = self.library.nvmlDeviceGetCudaComputeCapability(gpu.handle)
        except self.library.NVMLError:
            return None
        return float(f"{major}.{minor}")

    def driver(self) -> tuple[str, tuple[int, int] | None]:
        """(version of the driver, highest CUDA version it runs as (major, minor) or None); ``unknown`` without one.

        The CUDA version is of the ``libcuda`` that programs find: NVIDIA's compatibility package makes it higher.
        """
        pynvml = self.library
        try:
            version = pynvml.nvmlSystemGetDriverVersion()
        except pynvml.NVMLError:
            version = "unknown"
        try:
            cuda = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
        except pynvml.NVMLError:
            cuda = None
        text = version.decode() if isinstance(version, bytes) else str(version)
        return text, None if cuda is None else (cuda // 1000, cuda % 1000 // 10)

    def without_peer_access(self) -> list[tuple[int, int]]:
        """Pairs of GPUs of which one cannot read the other's memory directly (``nvidia-smi topo -p2p r``)."""
        pynvml = self.library
        pairs = []
        for a in self.gpus:
            for b in self.gpus[a.index + 1 :]:
                try:
                    status = pynvml.nvmlDeviceGetP2PStatus(a.handle, b.handle, _P2P_READ)
                except pynvml.NVMLError:
                    continue
                if status != _P2P_OK:
                    pairs.append((a.index, b.index))
        return pairs

    def close(self) -> None:
        """Let the driver go."""
        try:
            self.library.nvmlShutdown()
        except self.library.NVMLError:
            return


def has_nvidia_device() -> bool:
    """Whether the kernel shows an NVIDIA device, with or without a working NVML."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
