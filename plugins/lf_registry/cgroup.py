"""Main memory as this container may use it: a pod's limit, not the whole machine's memory."""

from __future__ import annotations

from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def memory(cgroup: Path = _CGROUP) -> tuple[int, int]:
    """(bytes in use, bytes in all) of the container (control group version 2), else of the machine.

    Files that the kernel only caches do not count as used: it drops them when a program needs the room.
    """
    import psutil

    machine = psutil.virtual_memory()
    try:
        limit = int((cgroup / "memory.max").read_text())  # "max" without a limit
        used = int((cgroup / "memory.current").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        used -= int(stat.get("inactive_file", 0))
    except (OSError, ValueError):
        return machine.total - machine.available, machine.total
    return (max(used, 0), limit) if limit < machine.total else (machine.total - machine.available, machine.total)
