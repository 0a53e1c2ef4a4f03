"""What job.sh has to know when it decides about the pod, in files that any shell can read.

They stand on the container disk (``LF_REGISTRY_JOB_RUN``, a folder that job.sh makes for each run): a note that says
what the container disk holds dies with that disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

VARIABLE = "LF_REGISTRY_JOB_RUN"
#: A stop of the pod would lose what the note names; ``LOSE_VOLUME``: a termination would.
LOSE_CONTAINER, LOSE_VOLUME = "lose-container", "lose-volume"
#: Nothing of this job would be lost by a termination. Without this note there is none.
SAFE = "safe"
#: The log goes with the container disk.
LOG_LOST = "log-lost"


class Notes:
    """The folder of this run; does nothing without one."""

    def __init__(self, environment: Mapping[str, str], output: Path) -> None:
        folder = environment.get(VARIABLE)
        self.folder = Path(folder) if folder else None
        if self.folder is None:
            return
        self.set("output", str(output.absolute()))
        for other in self.folder.parent.glob("*/output"):
            if other.parent != self.folder and other.read_text(encoding="utf-8").strip() == str(output.absolute()):
                for name in (LOSE_CONTAINER, LOSE_VOLUME):  # an earlier run's, about what this run looks after
                    (other.parent / name).unlink(missing_ok=True)

    def set(self, name: str, text: str) -> None:
        """Write a note."""
        if self.folder is not None:
            (self.folder / name).write_text(f"{text}\n", encoding="utf-8")

    def has(self, name: str) -> bool:
        """Whether there is such a note."""
        return self.folder is not None and (self.folder / name).exists()

    def clear(self, name: str) -> None:
        """Take a note away."""
        if self.folder is not None:
            (self.folder / name).unlink(missing_ok=True)
