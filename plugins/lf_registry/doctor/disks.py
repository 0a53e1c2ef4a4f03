"""Main memory, shared memory and the disks that a run writes to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..cgroup import memory
from .page import Section, on_a_pod

GIB = 1024**3
#: Docker gives a container 64 MiB of /dev/shm; data loaders and NCCL want more than that.
_SHM = GIB
#: Below the first a run cannot save anything; below the second only a small one.
_NO_ROOM, _LITTLE_ROOM = GIB, 10 * GIB
#: No rented volume is as large as the storage behind it, which a network volume shows as its own size.
_NO_QUOTA = 20 * 1024 * GIB
VOLUME = Path("/workspace")


@dataclass(frozen=True)
class Place:
    """A folder that a run writes to.

    Attributes:
        label: what it is for: ``output``, or the variable that names it.
        path: the folder, which need not exist yet.
        total, free: bytes of its file system.
        device: which file system it is on.
        writable: whether this user can write there.
    """

    label: str
    path: Path
    total: int
    free: int
    device: int
    writable: bool


def look(label: str, path: Path) -> Place:
    """Look at a folder, or at the one it will be made in."""
    path = path.expanduser().absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    usage = shutil.disk_usage(there)
    return Place(label, path, usage.total, usage.free, there.stat().st_dev, os.access(there, os.W_OK | os.X_OK))


def places(environment: Mapping[str, str], output: Path, volume: Path = VOLUME) -> list[Place]:
    """Where a run writes: outputs, downloads, temporary files, caches of installers that are set, the pod's volume."""
    home = Path(environment.get("HF_HOME") or Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    found = {"output": output, "HF_HOME": home, "TMPDIR": Path(environment.get("TMPDIR") or tempfile.gettempdir())}
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "TRITON_CACHE_DIR", "PIP_CACHE_DIR", "UV_CACHE_DIR"):
        if environment.get(name):
            found[name] = Path(environment[name])
    if volume.is_dir():
        found[str(volume)] = volume
    return [look(label, path) for label, path in found.items()]


def disks(environment: Mapping[str, str], output: Path, gpus: int = 0) -> Section:
    """Look at this machine, with so many GPUs."""
    section = Section("memory and disk")
    used, total = memory()
    section.say("main memory", f"{(total - used) / GIB:.1f} of {total / GIB:.1f} GiB free, {os.cpu_count()} CPU cores")
    shm = Path("/dev/shm")
    if shm.is_dir():
        check_shm(section, shutil.disk_usage(shm).total, gpus)
    found = places(environment, output)
    for place in found:
        section.say(place.label, f"{place.free / GIB:.1f} of {place.total / GIB:.1f} GiB free, {place.path}")
    check_places(section, found)
    if on_a_pod(environment):
        check_pod(section, found, container=Path("/").stat().st_dev)
    return section


def check_shm(section: Section, total: int, gpus: int) -> None:
    """Shared memory: too little of it is a bus error; processes of several GPUs always need it, data loaders may."""
    section.say("/dev/shm", f"{total / GIB:.1f} GiB")
    if total < _SHM:
        section.find(
            "error" if gpus > 1 else "warning",
            "small-shm",
            "/dev/shm",
            f"{total / 1024**2:.0f} MiB of shared memory: data loaders and NCCL (several GPUs) die with a bus error",
            "start the container with --shm-size=8g (or --ipc=host); until then: dataloader_num_workers=0 and "
            "export NCCL_SHM_DISABLE=1",
        )


def check_places(section: Section, found: list[Place]) -> None:
    """Room, and the right to write."""
    for place in found:
        if not place.writable:
            message = f"{place.path} cannot be written by this user"
            fix = f"chown it, or name another folder ({_how(place)})"
            section.find("error", "not-writable", place.label, message, fix)
        elif place.free < _LITTLE_ROOM and place.label not in ("PIP_CACHE_DIR", "UV_CACHE_DIR"):
            none = place.free < _NO_ROOM
            section.find(
                "error" if none else "warning",
                "disk-full" if none else "little-disk",
                place.label,
                f"{place.free / GIB:.1f} GiB free at {place.path}: "
                + ("a save or a download will fail in the middle" if none else "enough for small models only"),
                f"make room, or name another folder ({_how(place)}); what a recipe needs: lf-registry estimate RECIPE",
            )


def _how(place: Place) -> str:
    if place.label == "output":
        return "output_dir=... behind the recipe"
    return f"export {place.label}=..." if place.label.isupper() or "_" in place.label else "a larger volume"


def check_pod(section: Section, found: list[Place], container: int, volume: Path = VOLUME) -> None:
    """What survives a pod's stop, and what fills its volume.

    Args:
        section: gets the findings.
        found: the folders.
        container: the device of the container disk.
        volume: where the volume is mounted.
    """
    mounted = any(place.path == volume and place.device != container for place in found)
    if not mounted:
        section.find(
            "error",
            "no-volume",
            str(volume),
            "no volume is mounted: everything on this pod is lost when it stops",
            "start the pod with a network volume (or a volume disk)",
        )
    for place in found:
        inside = place.path.is_relative_to(volume) and mounted
        if place.path == volume and mounted and place.total > _NO_QUOTA:
            section.find(
                "warning",
                "quota-unseen",
                place.label,
                f"the {place.total / 1024**4:.0f} TiB shown are the storage's; your volume ends at the size rented, "
                "and a save beyond it fails in the middle",
                f"compare `du -sh {volume}` with the size of the volume",
            )
        elif place.device == container and place.label == "output" and mounted:
            section.find(
                "error",
                "container-disk",
                place.label,
                f"{place.path} is on the container disk: checkpoints and the model are lost when the pod stops",
                f"output_dir={volume}/outputs/..., or work in {volume}",
            )
        elif place.device == container and place.label in ("HF_HOME", "HF_HUB_CACHE") and mounted:
            section.find(
                "warning",
                "container-disk",
                place.label,
                f"{place.path} is on the container disk: models fill it, and are downloaded again after every stop",
                f"export {place.label}={volume}/.cache/huggingface",
            )
        elif inside and place.label in ("PIP_CACHE_DIR", "UV_CACHE_DIR", "TMPDIR"):
            section.find(
                "warning",
                "cache-on-volume",
                place.label,
                f"{place.path} is on the volume, whose quota it uses up for files that need not survive",
                f"export {place.label}=~/.cache/{place.label.split('_')[0].lower()}"
                if place.label != "TMPDIR"
                else "export TMPDIR=/tmp (where the container disk has room)",
            )
