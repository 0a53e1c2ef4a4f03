"""GPUs, driver, CUDA, bf16 and NCCL, without importing torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections import Counter
from collections.abc import Mapping

from ..cuda import major, too_old, torch_cuda, way_out
from ..nvml import INSTALL, Nvml, has_nvidia_device
from .page import Section, on_a_pod

#: From this compute capability on (Ampere), a GPU computes in bfloat16.
_BF16 = 8.0
#: CUDA 13 has no code for Maxwell, Pascal and Volta any more.
_CUDA_13 = 7.5
#: A GPU of which more than this share is in use before a run has a second user.
_BUSY = 0.05
_GIB = 1024**3


def gpus(environment: Mapping[str, str]) -> tuple[Section, int]:
    """Ask the driver, and compare with what torch was built for; returns its findings and how many GPUs there are."""
    section = Section("GPU")
    try:
        nvml = Nvml()
    except OSError as error:
        _no_nvml(section, str(error), environment)
        return section, 0
    try:
        _describe(section, nvml, environment)
    finally:
        nvml.close()
    return section, len(nvml.gpus)


def _no_nvml(section: Section, reason: str, environment: Mapping[str, str]) -> None:
    missing = importlib.util.find_spec("pynvml") is None
    if has_nvidia_device():
        section.say("GPU", "a device is there, but it cannot be asked")
        message = f"there is an NVIDIA device, but {reason}"
        if missing:
            section.find("warning", "gpu-unknown", "GPU", f"{message}; so nothing is known about it", INSTALL)
        else:
            fix = "see what nvidia-smi says; a container has to be started with its GPUs (--gpus all), a pod anew"
            section.find("error", "gpu-unusable", "GPU", message, fix)
        return
    section.say("GPU", "none: training runs on the CPU")
    _expected(section, 0, environment)


def _expected(section: Section, count: int, environment: Mapping[str, str]) -> None:
    """Compare the GPUs with those that are paid for."""
    rented = environment.get("RUNPOD_GPU_COUNT", "")
    if on_a_pod(environment) and rented.isdigit() and int(rented) != count:
        message = f"the pod has {rented} GPUs by contract and {count} in fact: a stopped pod may come back without them"
        fix = "stop it and start it again later, or start a new pod on the same network volume"
        section.find("error", "gpu-gone", "RUNPOD_GPU_COUNT", message, fix)
    elif count == 0:
        message = "there is no NVIDIA GPU here: a tiny model trains on the CPU, a real one does not"
        section.find(
            "warning", "no-gpu", "GPU", message, "rent a machine: `lf-registry estimate RECIPE --all` says which"
        )


def _describe(section: Section, nvml: Nvml, environment: Mapping[str, str]) -> None:
    kinds = Counter((gpu.name, gpu.memory) for gpu in nvml.gpus)
    for (name, memory), count in kinds.items():
        section.say("GPU", f"{count}x {name}, {memory / _GIB:.0f} GiB")
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        section.say("CUDA_VISIBLE_DEVICES", chosen or "(empty: hides every GPU)")
    if not nvml.gpus:
        section.say("GPU", "none" if chosen is None else "none visible")
    _expected(section, len(nvml.gpus), environment)
    if not nvml.gpus:
        return
    version, cuda = nvml.driver()
    section.say("driver", version + (f", runs CUDA up to {cuda[0]}.{cuda[1]}" if cuda else ""))
    _compare_cuda(section, version, cuda)
    _capabilities(section, nvml)
    for gpu in nvml.gpus:
        used = nvml.memory_used(gpu) or 0
        if used > _BUSY * gpu.memory:
            message = f"{used / _GIB:.1f} of {gpu.memory / _GIB:.0f} GiB are in use already: another process runs on it"
            fix = "see which with nvidia-smi, and end it"
            section.find("warning", "gpu-in-use", f"GPU {gpu.index}", message, fix)
    _nccl(section, nvml, environment)


def _compare_cuda(section: Section, version: str, cuda: tuple[int, int] | None) -> None:
    """Compare torch with the driver's ``version`` and the ``cuda`` that it runs.

    An older driver runs torch all the same where NVIDIA's compatibility package is in front of it.
    """
    built = torch_cuda()
    section.say("torch", f"built for CUDA {built}" if built else "built without CUDA")
    if built is None:
        message = "torch is a CPU build or missing, so no GPU is used"
        section.find("error", "torch-without-cuda", "torch", message, "install it from requirements.lock")
        return
    oldest = too_old(version, built)
    behind = cuda is not None and cuda[0] < major(built)
    if behind or (oldest is not None and cuda is None):
        runs = f" and runs CUDA up to {cuda[0]}.{cuda[1]}" if cuda else ""
        takes = f", which takes driver {oldest} or newer" if oldest else ""
        message = f"the driver is {version}{runs}, and torch is built for CUDA {built}{takes}: torch will see no GPU"
        section.find("error", "driver-too-old", "driver", message, way_out(built, cuda[0] if cuda else 0))
    elif oldest is not None:
        message = (
            f"torch is built for CUDA {built}, which takes driver {oldest} or newer, and the driver is {version}: "
            "it is run by a compatibility package of this container, which works with data center GPUs only"
        )
        fix = "lf-registry doctor --full says whether torch sees the GPUs; if not: " + way_out(built, 0)
        section.find("warning", "driver-compatibility", "driver", message, fix)


def _capabilities(section: Section, nvml: Nvml) -> None:
    known = {gpu.index: nvml.capability(gpu) for gpu in nvml.gpus}
    without = [index for index, value in known.items() if value is not None and value < _BF16]
    unknown = all(value is None for value in known.values())
    section.say("bf16", "unknown" if unknown else "no" if without else "yes")
    if without:
        message = (
            f"compute capability {known[without[0]]}: no bfloat16 units; PyTorch emulates it, several times slower"
        )
        section.find("warning", "no-bf16", f"GPU {without[0]}", message, "train with bf16=false fp16=true")
    built = torch_cuda()
    old = [index for index, value in known.items() if value is not None and value < _CUDA_13]
    if old and built and major(built) >= 13:
        message = f"compute capability {known[old[0]]}, and torch for CUDA {built} has no code for it"
        section.find("error", "gpu-too-old", f"GPU {old[0]}", message, "use a GPU of compute capability 7.5 or more")


def _nccl(section: Section, nvml: Nvml, environment: Mapping[str, str]) -> None:
    version = next((found for name in ("13", "12") if (found := _version(f"nvidia-nccl-cu{name}"))), "not found")
    settings = [f"{key}={value}" for key, value in sorted(environment.items()) if key.startswith("NCCL_")]
    section.say("NCCL", ", ".join([version, *settings]))
    pairs = nvml.without_peer_access()
    if len(nvml.gpus) > 1:
        section.say("peer-to-peer", f"not between {len(pairs)} pairs of GPUs" if pairs else "between all GPUs")
    if pairs and environment.get("NCCL_P2P_DISABLE") != "1":
        which = f"GPUs {pairs[0][0]} and {pairs[0][1]}"
        message = f"{which} cannot read each other's memory; on such machines NCCL has been seen to hang"
        section.find("warning", "no-peer-to-peer", "NCCL", message, "export NCCL_P2P_DISABLE=1")
    nodes = environment.get("NUM_NODES") or environment.get("NNODES") or "1"
    interface = environment.get("NCCL_SOCKET_IFNAME", "")
    if nodes.isdigit() and int(nodes) > 1 and on_a_pod(environment) and not interface.startswith("ens"):
        message = (
            f"{nodes} nodes, and NCCL would talk over {interface or 'any interface, eth0 too'}: slow, or not at all"
        )
        section.find("error", "wrong-network", "NCCL_SOCKET_IFNAME", message, "export NCCL_SOCKET_IFNAME=ens1")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
