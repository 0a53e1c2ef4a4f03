"""Where a job's files go: what must survive onto the volume, what need not beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import WrongUsage

#: Where RunPod mounts the volume disk or the network volume.
WORKSPACE = Path("/workspace")
#: Temporary files go on the container disk when it has this much room; so much less and they go on the volume.
_SCRATCH = 4 << 30
#: File systems over a network, by the beginning of their names in /proc/mounts.
_NETWORK = ("fuse", "nfs", "ceph", "lustre", "cifs", "smb", "glusterfs", "beegfs", "virtiofs", "9p")


@dataclass(frozen=True)
class Volume:
    """The disk that outlives the container.

    Attributes:
        path: where it is mounted; None: there is none.
        network: it outlives the pod too.
        why: how that is known.
    """

    path: Path | None
    network: bool = False
    why: str = ""

    def holds(self, path: str | Path) -> bool:
        """Whether a path is on it."""
        return self.path is not None and Path(path).resolve().is_relative_to(self.path.resolve())

    def place(self, path: str) -> str:
        """Where a recipe's output folder goes: as it is when it is absolute or on the volume already."""
        if self.path is None or Path(path).is_absolute() or self.holds(path):
            return path
        return str(self.path / path)


def find_volume(
    environment: Mapping[str, str], given: Path | None = None, *, network: bool = False, workspace: Path = WORKSPACE
) -> Volume:
    """The folder that was named, else ``/workspace`` when a disk is mounted there.

    Raises:
        WrongUsage: the folder that was named is none, or is on the container disk of a pod.
    """
    on_a_pod = bool(environment.get("RUNPOD_POD_ID"))
    if given is not None:
        if not given.is_dir():
            raise WrongUsage(f"--volume: {given} is no folder", hint="mkdir it, or name the folder of the volume")
        if on_a_pod and _device(given) == _device(Path("/")):
            raise WrongUsage(
                f"--volume: {given} is on the container disk, which is lost when the pod stops",
                hint="name the folder where the volume is mounted (RunPod: /workspace), or leave --volume out",
            )
        return Volume(given.absolute(), network or _is_network(given, environment), "named by --volume")
    if not workspace.is_dir() or _device(workspace) == _device(Path("/")):
        return Volume(None)
    return Volume(workspace, network or _is_network(workspace, environment), "a disk of its own is mounted there")


def _device(path: Path) -> int:
    return path.stat().st_dev


def _is_network(path: Path, environment: Mapping[str, str]) -> bool:
    """Whether a network volume is mounted there. Only what says so twice is believed: a pod can be deleted on it."""
    if not environment.get("RUNPOD_VOLUME_ID"):
        return False
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    mounts = [line.split() for line in lines if len(line.split()) > 2]
    over = [(kind, target) for _, target, kind, *_ in mounts if path.resolve().is_relative_to(target)]
    return bool(over) and max(over, key=lambda mount: len(mount[1]))[0].startswith(_NETWORK)


@dataclass
class Surroundings:
    """The environment of the stages.

    Attributes:
        environment: variables.
        said: what was set and why, one sentence each.
        moved: HF_HOME was set here, not by the user.
    """

    environment: dict[str, str]
    said: list[str] = field(default_factory=list)
    moved: bool = False

    def set(self, name: str, value: str, why: str) -> None:
        """Set a variable and say so."""
        self.environment[name] = value
        self.said.append(f"{name}={value}: {why}")


def surround(environment: Mapping[str, str], volume: Volume, scratch: Path = Path("/tmp")) -> Surroundings:
    """Downloads onto the volume, temporary files and compiled kernels beside it. What the user has set wins."""
    found = Surroundings(dict(environment))
    found.environment.setdefault("PYTHONUNBUFFERED", "1")
    home = Path(environment.get("HF_HOME") or Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    home = home.expanduser()
    if volume.path is not None and not environment.get("HF_HOME") and not environment.get("HF_HUB_CACHE"):
        found.set("HF_HOME", str(volume.path / ".cache/huggingface"), "models are not downloaded again after a stop")
        found.moved = True
        if (home / "token").is_file() and not environment.get("HF_TOKEN_PATH"):
            found.set("HF_TOKEN_PATH", str(home / "token"), "the token stays where `hf auth login` put it")
    elif volume.path is not None and not volume.holds(environment.get("HF_HUB_CACHE") or home):
        found.said.append(f"HF_HOME={home} stays, as it was set: on the container disk, so a stop deletes the models")
    roomy = shutil.disk_usage(scratch).free >= _SCRATCH
    temporary = environment.get("TMPDIR")
    if temporary and not Path(temporary).is_dir():
        found.said.append(f"TMPDIR={temporary} is no folder; it is made")
        Path(temporary).mkdir(parents=True, exist_ok=True)
    elif not temporary and volume.path is not None:
        place = scratch if roomy else volume.path / ".tmp"
        place.mkdir(parents=True, exist_ok=True)
        why = "temporary files need not survive" if roomy else f"{scratch} has less than 4 GiB of room"
        found.set("TMPDIR", str(place), why)
    if volume.path is not None and not environment.get("TRITON_CACHE_DIR"):
        place = (scratch if roomy else volume.path / ".cache") / f"triton-{os.getuid()}"
        found.set("TRITON_CACHE_DIR", str(place), "compiled kernels need not survive")
    return found
