"""GPUs, their peer-to-peer transfers and shared memory: what a run needs to be told about this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..cuda import major, too_old, torch_cuda, way_out
from ..errors import UserError
from .places import Surroundings

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_CUDA = re.compile(r"CUDA[\w ]* Version:\s*([\d.]+)")
_SECONDS = 60
#: With less shared memory than this, data loaders and NCCL die with a bus error (Docker gives 64 MiB).
_SHM = 1 << 30


@dataclass(frozen=True)
class Gpus:
    """The GPUs that a run will use.

    Attributes:
        names: as nvidia-smi writes them, in the order of CUDA_VISIBLE_DEVICES.
        indices: of nvidia-smi.
    """

    names: tuple[str, ...] = ()
    indices: tuple[int, ...] = ()

    def __str__(self) -> str:
        return ", ".join(f"{count}x {name}" for name, count in Counter(self.names).items()) or "no GPU"


def find_gpus(environment: Mapping[str, str]) -> Gpus:
    """Ask nvidia-smi, as far as CUDA_VISIBLE_DEVICES leaves GPUs visible.

    Raises:
        UserError: nvidia-smi is there and fails, the pod has other GPUs than are paid for, or torch would see none of
            them, because the driver is too old for it: without this the training would run on the CPU.
    """
    rented = environment.get("RUNPOD_GPU_COUNT", "")
    everything: dict[int, tuple[str, str]] = {}
    driver = ""
    if shutil.which("nvidia-smi", path=environment.get("PATH")):
        text = _ask(environment, "--query-gpu=driver_version,index,uuid,name", "--format=csv,noheader")
        for line in text.splitlines():
            driver, index, uuid, name = (part.strip() for part in line.split(",", 3))
            everything[int(index)] = (uuid, name)
    if rented.isdigit() and int(rented) != len(everything):
        raise UserError(
            f"the pod has {rented} GPUs by contract and {len(everything)} in fact: a stopped pod may come back without "
            "them",
            hint="stop it and start it again later, or start a new pod on the same network volume",
        )
    if driver:
        _refuse_old_driver(driver, environment)
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    indices = list(everything)
    if chosen is not None:
        indices = []
        for entry in (part.strip() for part in chosen.split(",")):
            match = [
                index
                for index, (uuid, _) in everything.items()
                if entry == str(index) or (entry.startswith("GPU-") and uuid.startswith(entry))
            ]
            if not match:
                break  # as CUDA does: an entry that is none hides all behind it
            indices += match
    return Gpus(tuple(everything[index][1] for index in indices), tuple(indices))


def _refuse_old_driver(driver: str, environment: Mapping[str, str]) -> None:
    built = torch_cuda()
    oldest = too_old(driver, built) if built else None
    if built is None or oldest is None:
        return
    found = _CUDA.search(_ask(environment))  # with NVIDIA's compatibility package it is higher than the driver's own
    runs = found[1] if found else ""
    if major(runs) >= major(built):
        return
    raise UserError(
        f"the driver is {driver}{f' and runs CUDA up to {runs}' if runs else ''}, and torch is built for CUDA {built}, "
        f"which takes driver {oldest} or newer: torch would see no GPU",
        hint=way_out(built, major(runs)),
    )


def _ask(environment: Mapping[str, str], *options: str) -> str:
    try:
        done = subprocess.run(
            ["nvidia-smi", *options],
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        failed = (done.stdout + done.stderr).strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        failed = str(error)
    if failed:
        raise UserError(
            f"nvidia-smi fails, so the GPUs cannot be used: {failed.splitlines()[0]}",
            hint="start the pod anew (a driver that broke stays broken)",
        )
    return done.stdout


def without_peer_access(matrix: str, indices: tuple[int, ...]) -> list[tuple[int, int]]:
    """Pairs of GPUs whose cell in ``nvidia-smi topo -p2p n`` is not OK."""
    rows: dict[int, list[str]] = {}
    for line in _ANSI.sub("", matrix).splitlines():
        cells = line.split()
        match = re.fullmatch(r"GPU(\d+)", cells[0]) if len(cells) > 1 else None
        if match and not cells[1].startswith("GPU"):
            rows[int(match[1])] = cells[1:]
    pairs = []
    for place, one in enumerate(indices):
        for other in indices[place + 1 :]:
            cells = rows.get(one, [])
            if other < len(cells) and cells[other] != "OK":
                pairs.append((one, other))
    return pairs


def set_up_nccl(gpus: Gpus, found: Surroundings, shm: Path = Path("/dev/shm")) -> list[str]:
    """Set what NCCL needs on this machine; what the user has set wins.

    Returns:
        Overrides of the recipe that the machine asks for.
    """
    environment = found.environment
    overrides = []
    small = shm.is_dir() and shutil.disk_usage(shm).total < _SHM
    if small:
        size = f"/dev/shm has {shutil.disk_usage(shm).total >> 20} MiB, less than data loaders and NCCL need"
        overrides.append("dataloader_num_workers=0")
        found.said.append(f"dataloader_num_workers=0: {size}; a container started with --shm-size=8g has no such limit")
    if len(gpus.names) < 2:
        return overrides
    if small and "NCCL_SHM_DISABLE" not in environment:
        found.set("NCCL_SHM_DISABLE", "1", f"{size}; slower")
    if "NCCL_P2P_DISABLE" in environment:
        return overrides
    try:
        pairs = without_peer_access(_ask(environment, "topo", "-p2p", "n"), gpus.indices)
    except UserError as error:
        found.said.append(f"peer-to-peer transfers are not looked at: {error.problems[0]}")
        return overrides
    if pairs:
        which = f"GPUs {pairs[0][0]} and {pairs[0][1]}" + (f" and {len(pairs) - 1} more pairs" if pairs[1:] else "")
        found.set(
            "NCCL_P2P_DISABLE",
            "1",
            f"{which} have no NVLink between them; NCCL hangs on some such machines (NCCL_P2P_DISABLE=0 keeps it on)",
        )
    return overrides
