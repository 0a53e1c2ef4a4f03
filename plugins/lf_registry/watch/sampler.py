"""The thread that looks at the hardware while the training runs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

from ..cgroup import memory
from ..nvml import Nvml, has_nvidia_device
from .clock import PhaseClock
from .log import LogWriter


class Sampler:
    """Writes a line every ``interval`` seconds until it is stopped.

    It never stops a training: what it cannot read is left out, and when it cannot write it says so once and ends.

    Args:
        path: the log.
        clock: what the training is doing.
        interval: seconds.
        say: takes a sentence for the training's log.

    Raises:
        OSError: the log cannot be written.
    """

    def __init__(self, path: Path, clock: PhaseClock, interval: float, say: Callable[[str], None]) -> None:
        import psutil

        self._path, self._clock, self._interval, self._say = path, clock, interval, say
        self._log = LogWriter(path)
        self._stop = Event()
        self._psutil = psutil
        self._process = psutil.Process()
        self._nvml = self._open_nvml()
        self._samples = 0
        self._cost = 0.0
        self._thread = Thread(target=self._run, name="lf-registry-watch", daemon=True)

    def _open_nvml(self) -> Nvml | None:
        try:
            return Nvml()
        except OSError as error:
            if has_nvidia_device():  # without a GPU there is nothing to say
                self._say(f"watching without the GPU: {error}")
            return None

    def start(self, **facts: Any) -> None:
        """Write the first line, with ``facts`` about the run, and begin. Raises: OSError."""
        gpus = [{"name": gpu.name, "memory": gpu.memory} for gpu in self._nvml.gpus] if self._nvml else []
        row = {"event": "start", "time": _now(), "interval": self._interval, "gpus": gpus}
        self._log.write(row | {"cpus": os.cpu_count(), "ram": memory()[1]} | facts)
        self._psutil.cpu_percent(None)  # the first call has nothing to compare with
        self._process.cpu_percent(None)
        self._clock.take()
        self._thread.start()

    def stop(self) -> None:
        """Write the last lines and end."""
        self._stop.set()
        self._thread.join(timeout=30)  # a network disk that hangs must not keep a finished training

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._interval):
                self._sample()
            self._sample()
            end = {"event": "end", "time": _now(), "step": self._clock.step, "samples": self._samples}
            self._log.write(end | {"cpu_seconds": round(self._cost, 4)})
        except OSError as error:
            self._say(f"{self._path}: cannot be written ({error.strerror}); the training goes on, unwatched")
        finally:
            self._log.close()
            if self._nvml is not None:
                self._nvml.close()

    def _sample(self) -> None:
        began = time.thread_time()
        seconds, steps, step_seconds = self._clock.take()
        row: dict[str, Any] = {
            "time": _now(),
            "step": self._clock.step,
            "phase": self._clock.phase,
            "seconds": {phase: round(value, 4) for phase, value in seconds.items()},
            "steps": steps,
            "step_seconds": round(step_seconds / steps, 4) if steps else None,
            "cpu": self._psutil.cpu_percent(None),
            "process_cpu": self._process.cpu_percent(None),
            "ram": memory()[0],
            "process_ram": self._process.memory_info().rss,
            "disk_free": shutil.disk_usage(self._path.parent).free,
        }
        if self._nvml is not None:
            row["gpu"] = [self._nvml.busy(gpu) for gpu in self._nvml.gpus]
            row["gpu_memory"] = [self._nvml.memory_used(gpu) for gpu in self._nvml.gpus]
        self._log.write(row)
        self._samples += 1
        self._cost += time.thread_time() - began


def _now() -> float:
    """Seconds since 1970, to the millisecond."""
    return round(time.time(), 3)
