"""What a training is doing at this moment, and for how long it has done what."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Literal, get_args

#: ``train``: forward, backward, optimizer. ``data``: waiting for the next batch. ``other``: starting and ending.
Phase = Literal["train", "data", "evaluate", "save", "other"]
PHASES: tuple[Phase, ...] = get_args(Phase)


class PhaseClock:
    """Adds up the seconds of each phase; written by the training, read by the sampler's thread."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = Lock()
        self._since = clock()
        self._seconds: dict[Phase, float] = {}
        self._steps = 0
        self._step_seconds = 0.0
        self._step_began: float | None = None
        self.phase: Phase = "other"
        self.step = 0

    def enter(self, phase: Phase) -> None:
        """From now on the training does something else."""
        with self._lock:
            self._add()
            self.phase = phase

    def begin_step(self) -> None:
        """The batches of an optimizer step are there."""
        self.enter("train")
        self._step_began = self._since

    def end_step(self, step: int) -> None:
        """The optimizer step with this number is done."""
        with self._lock:
            self._add()
            self.step = step
            if self._step_began is not None:
                self._steps += 1
                self._step_seconds += self._since - self._step_began
                self._step_began = None

    def take(self) -> tuple[dict[Phase, float], int, float]:
        """(seconds by phase, finished steps, their seconds) since the last time this was called."""
        with self._lock:
            self._add()
            taken = self._seconds, self._steps, self._step_seconds
            self._seconds, self._steps, self._step_seconds = {}, 0, 0.0
        return taken

    def _add(self) -> None:
        now = self._clock()
        self._seconds[self.phase] = self._seconds.get(self.phase, 0.0) + now - self._since
        self._since = now
