"""What a hardware log says: where the time went, and where the GPU stood idle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean
from typing import Any

from .clock import PHASES, Phase

Row = Mapping[str, Any]

#: The order in which idle time is explained: a GPU that idles while a checkpoint is written waits for that.
_WAITING: tuple[Phase, ...] = ("data", "evaluate", "save", "other")


@dataclass
class Session:
    """One start of a run: its first line and its samples."""

    start: Row
    samples: list[Row] = field(default_factory=list)


def sessions(rows: Iterable[Row]) -> list[Session]:
    """The starts of the run that stands in the log last: those since the last one that began at step 0."""
    found: list[Session] = []
    for row in rows:
        if row.get("event") == "start":
            found = [] if row.get("step", 0) == 0 else found
            found.append(Session(row))
        elif "seconds" in row and found:
            found[-1].samples.append(row)
    return found


def busy(row: Row) -> float | None:
    """Percent that the GPUs were busy, their mean; None without a GPU."""
    known = [value for value in row.get("gpu", ()) if value is not None]
    return fmean(known) if known else None


def idle_seconds(row: Row) -> dict[Phase, float]:
    """The GPU's idle seconds of a sample, by what the training did meanwhile.

    A sample knows how busy the GPU was and how long each phase took, but not which belongs to which. Idle time is put
    down to the phases in which the GPU has to wait first, in proportion to their length; only what is left over is idle
    time inside the steps (launching kernels, waiting for other GPUs).
    """
    percent = busy(row)
    if percent is None:
        return {}
    seconds: Mapping[Phase, float] = row["seconds"]
    idle = sum(seconds.values()) * (1 - percent / 100)
    waiting = {phase: seconds.get(phase, 0.0) for phase in _WAITING}
    total = sum(waiting.values())
    share = min(1.0, idle / total) if total else 0.0
    found = {phase: value * share for phase, value in waiting.items()}
    found["train"] = max(0.0, idle - total)
    return found


@dataclass(frozen=True)
class Summary:
    """The sums over a run.

    Attributes:
        seconds: wall time by phase.
        idle: GPU idle time by phase; empty without a GPU.
        steps: optimizer steps, those that were done again after an interruption included.
        step_seconds: mean length of a step, without waiting for data.
        starts: how often the run was started.
        lost: seconds between the last sample of a start and the next start.
    """

    seconds: dict[Phase, float]
    idle: dict[Phase, float]
    steps: int
    step_seconds: float | None
    starts: int
    lost: float


def summarize(starts: list[Session]) -> Summary:
    """Add up the samples of all starts."""
    seconds: dict[Phase, float] = dict.fromkeys(PHASES, 0.0)
    idle: dict[Phase, float] = {}
    steps, in_steps = 0, 0.0
    for row in (row for session in starts for row in session.samples):
        for phase, value in row["seconds"].items():
            seconds[phase] += value
        for phase, value in idle_seconds(row).items():
            idle[phase] = idle.get(phase, 0.0) + value
        steps += row["steps"]
        in_steps += row["steps"] * (row["step_seconds"] or 0.0)
    ends = [(session.samples[-1] if session.samples else session.start)["time"] for session in starts]
    lost = sum(later.start["time"] - end for (_, later), end in zip(pairwise(starts), ends, strict=False))
    return Summary(seconds, idle, steps, in_steps / steps if steps else None, len(starts), lost)


NAMES: dict[Phase, str] = {
    "train": "training",
    "data": "waiting for data",
    "evaluate": "evaluation",
    "save": "saving",
    "other": "starting and ending",
}


def summary_text(summary: Summary) -> str:
    """One sentence: steps, time, and what the GPU waited for."""
    total = sum(summary.seconds.values())
    if not total:
        return "hardware: nothing was recorded"
    step = f" of {summary.step_seconds:.3g} s" if summary.step_seconds else ""
    text = f"hardware: {summary.steps} steps{step} in {duration(total)}"
    if summary.starts > 1:
        text += f", {summary.starts} starts"
    if summary.idle:
        idle = sum(summary.idle.values())
        parts = _shares(summary.idle, total, NAMES | {"train": "inside steps"})
        text += f"; GPU idle {100 * idle / total:.0f} % of the time" + (f" ({parts})" if parts else "")
    else:
        text += f"; {_shares(summary.seconds, total, NAMES)}"
    return text


def _shares(seconds: Mapping[Phase, float], total: float, names: Mapping[Phase, str]) -> str:
    largest = sorted(seconds.items(), key=lambda item: -item[1])
    return ", ".join(f"{names[phase]} {100 * s / total:.0f} %" for phase, s in largest if s / total >= 0.005)


def duration(seconds: float) -> str:
    """``2 h 05 min``, ``3 min 20 s``, ``12 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"
