"""What a job has done, in ``OUTPUT_DIR.job/state.json``: it outlives the process and, on a volume, the pod."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import UserError
from ..files import json_text, write_atomically
from .cost import cost_text

STAGES = ("check", "train", "merge", "publish")
_VERSION = 1


@dataclass
class Stage:
    """One stage of a job, over all its attempts.

    Attributes:
        source: what the last attempt was made from; empty: there was none.
        result: what came out; empty: nothing to keep.
        finished: when it was done (seconds since 1970), 0: not yet.
        attempts: how often it was started.
        seconds: of all attempts; of one that was killed up to its last quarter of a minute.
        dollars: what they cost, ``unpriced`` seconds left out, in which no price was known.
    """

    source: dict[str, str] = field(default_factory=dict)
    result: dict[str, str] = field(default_factory=dict)
    finished: float = 0.0
    attempts: int = 0
    seconds: float = 0.0
    dollars: float = 0.0
    unpriced: float = 0.0

    @property
    def cost(self) -> str:
        """What all attempts cost, as text."""
        return cost_text(self.dollars, self.unpriced)

    def spend(self, seconds: float, dollars_an_hour: float | None) -> None:
        """Count time."""
        self.seconds += seconds
        if dollars_an_hour is None:
            self.unpriced += seconds
        else:
            self.dollars += seconds / 3600 * dollars_an_hour


class State:
    """The stages of a job, as a file. Every change is written at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stages = {name: Stage() for name in STAGES}
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            for name, values in read["stages"].items():
                self.stages[name] = Stage(**values)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            raise UserError(
                f"{path}: cannot be read, so it is not known what this job has done",
                hint=f"rm {path} (then finished stages are looked for in their folders)",
            ) from None

    def __getitem__(self, name: str) -> Stage:
        return self.stages[name]

    def begin(self, name: str, source: dict[str, str]) -> None:
        """A stage starts."""
        stage = self.stages[name]
        stage.source, stage.finished, stage.attempts = source, 0.0, stage.attempts + 1
        self.write()

    def finish(self, name: str, source: dict[str, str], result: dict[str, str]) -> None:
        """A stage is done."""
        stage = self.stages[name]
        stage.source, stage.result, stage.finished = source, result, time.time()
        self.write()

    def write(self) -> None:
        """Write the file.

        Raises:
            UserError: it cannot be written.
        """
        stages = {name: asdict(stage) for name, stage in self.stages.items()}
        write_atomically(self.path, json_text({"version": _VERSION, "stages": stages}))
