"""A driver with the GPUs that ``FAKE_NVML`` describes, behind the functions of nvidia-ml-py that we call."""

import json
import os
import time
from types import SimpleNamespace

_STARTED = time.monotonic()


class NVMLError(Exception):
    pass


def _machine():
    return {"gpus": [], "driver": "580.95.05", "cuda": 13000, "p2p": 0} | json.loads(os.environ["FAKE_NVML"])


def nvmlInit():
    if "error" in _machine():
        raise NVMLError(_machine()["error"])


def nvmlShutdown():
    return None


def nvmlSystemGetDriverVersion():
    return _machine()["driver"]


def nvmlSystemGetCudaDriverVersion_v2():
    if _machine()["cuda"] is None:
        raise NVMLError("Function Not Found")
    return _machine()["cuda"]


def nvmlDeviceGetCount():
    return len(_machine()["gpus"])


def nvmlDeviceGetHandleByIndex(index):
    return index


def nvmlDeviceGetHandleByUUID(uuid):
    for index, gpu in enumerate(_machine()["gpus"]):
        if gpu.get("uuid") == uuid:
            return index
    raise NVMLError("Not Found")


def nvmlDeviceGetName(handle):
    return _machine()["gpus"][handle].get("name", "NVIDIA A100-SXM4-80GB")


def nvmlDeviceGetMemoryInfo(handle):
    gpu = _machine()["gpus"][handle]
    return SimpleNamespace(total=gpu.get("memory", 80 * 1024**3), used=gpu.get("used", 60 * 1024**3), free=0)


def nvmlDeviceGetUtilizationRates(handle):
    busy = _machine()["gpus"][handle].get("busy", 90)
    if busy is None or ("lost_after" in _machine() and time.monotonic() - _STARTED > _machine()["lost_after"]):
        raise NVMLError("Not Supported")
    return SimpleNamespace(gpu=busy, memory=10)


def nvmlDeviceGetCudaComputeCapability(handle):
    return tuple(_machine()["gpus"][handle].get("capability", (8, 0)))


def nvmlDeviceGetP2PStatus(a, b, index):
    assert index == 0
    return _machine()["p2p"]
