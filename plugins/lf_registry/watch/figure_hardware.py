"""``hardware.png``: the GPU's use over time, what the training did meanwhile, and where the GPU stood idle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .clock import PHASES, Phase
from .history import NAMES, Session, busy, duration, summarize
from .image import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours that stay apart for colour-blind readers (Okabe and Ito).
COLORS: dict[Phase, str] = {
    "train": "#009E73",
    "data": "#E69F00",
    "evaluate": "#56B4E9",
    "save": "#CC79A7",
    "other": "#999999",
}
_GPU, _CPU, _RAM = "#000000", "#0072B2", "#777777"
#: More samples than this are drawn as means of neighbours: a picture has no more columns.
_MOST_COLUMNS = 1200


def draw_hardware(path: Path, starts: list[Session]) -> None:
    """Draw the runs' samples one start behind the other; the time in which nothing ran is left out.

    Raises:
        UserError: the file cannot be written.
    """
    times, rows, borders = _on_one_axis(starts)
    unit, name = (3600.0, "hours") if times[-1] >= 7200 else (60.0, "minutes") if times[-1] >= 120 else (1.0, "seconds")
    times = [value / unit for value in times]
    figure, (use, memory, phases, shares) = new_figure((11, 9), [3, 2, 1, 1.4])
    _draw_use(use, times, rows)
    _draw_memory(memory, times, rows, starts[-1])
    _draw_phases(phases, times, rows)
    for axes in (use, memory, phases):
        axes.set_xlim(0, times[-1] or 1)
        for border in borders:
            axes.axvline(border / unit, color="black", linewidth=0.8, linestyle=":")
    phases.set_xlabel(f"{name} of training" + (" (dotted: started again)" if borders else ""))
    _draw_shares(shares, starts)
    save(figure, path)


def _on_one_axis(starts: list[Session]) -> tuple[list[float], list[dict[str, Any]], list[float]]:
    """(end of each column in seconds, its row, the seconds at which a run was started again)."""
    count = sum(len(session.samples) for session in starts)
    step = -(-count // _MOST_COLUMNS)
    times, rows, borders, now = [], [], [], 0.0
    for session in starts:
        if now:
            borders.append(now)
        for place in range(0, len(session.samples), step):
            group = session.samples[place : place + step]
            seconds = {phase: sum(row["seconds"].get(phase, 0.0) for row in group) for phase in PHASES}
            now += sum(seconds.values())
            times.append(now)
            rows.append({**group[-1], "seconds": seconds, "group": group})
    return times, rows, borders


def _mean(row: dict[str, Any], value: Any) -> float:
    found = [number for number in map(value, row["group"]) if number is not None]
    return sum(found) / len(found) if found else float("nan")


def _draw_use(axes: Axes, times: list[float], rows: list[dict[str, Any]]) -> None:
    if any(busy(row) is not None for row in rows):
        axes.plot(times, [_mean(row, busy) for row in rows], color=_GPU, linewidth=1.2, label="GPU (mean)")
        if max(len(row.get("gpu", ())) for row in rows) > 1:
            known = [[value for value in row["gpu"] if value is not None] or [float("nan")] for row in rows]
            low, high = [min(row) for row in known], [max(row) for row in known]
            axes.fill_between(times, low, high, color=_GPU, alpha=0.15, linewidth=0, label="GPU, least to most")
    axes.plot(times, [_mean(row, lambda r: r["cpu"]) for row in rows], color=_CPU, linewidth=0.8, label="CPU")
    axes.set_ylim(0, 105)
    axes.set_ylabel("busy, %")
    axes.legend(loc="lower right", fontsize=8)


def _draw_memory(axes: Axes, times: list[float], rows: list[dict[str, Any]], last: Session) -> None:
    gib = 1024**3
    gpus = last.start.get("gpus", [])
    for place, gpu in enumerate(gpus):
        used = [_mean(row, lambda r, i=place: _entry(r, i)) / gib for row in rows]
        axes.plot(times, used, linewidth=1.2, label=f"GPU {place} ({gpu['memory'] / gib:.0f} GiB)")
    ram = last.start.get("ram")
    label = "main memory" + (f" ({ram / gib:.0f} GiB)" if ram else "")
    axes.plot(
        times,
        [_mean(row, lambda r: r["ram"]) / gib for row in rows],
        color=_RAM,
        linestyle="--",
        linewidth=1,
        label=label,
    )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("memory, GiB")
    axes.legend(loc="lower right", fontsize=8, ncols=2)


def _entry(row: dict[str, Any], place: int) -> float | None:
    values = row.get("gpu_memory", ())
    return values[place] if place < len(values) else None


def _draw_phases(axes: Axes, times: list[float], rows: list[dict[str, Any]]) -> None:
    totals = [sum(row["seconds"].values()) or 1.0 for row in rows]
    stacks = [
        [100 * row["seconds"][phase] / total for row, total in zip(rows, totals, strict=True)] for phase in PHASES
    ]
    axes.stackplot(times, stacks, colors=[COLORS[phase] for phase in PHASES], linewidth=0)
    axes.set_ylim(0, 100)
    axes.set_ylabel("time, %")


def _draw_shares(axes: Axes, starts: list[Session]) -> None:
    """Two bars: what the run's time was spent on, and what the GPU waited for."""
    summary = summarize(starts)
    total = sum(summary.seconds.values()) or 1.0
    bars = [("time", summary.seconds)] + ([("GPU idle", summary.idle)] if summary.idle else [])
    for row, (_, seconds) in enumerate(bars):
        left = 0.0
        for phase in PHASES:
            width = 100 * seconds.get(phase, 0.0) / total
            label = f"{NAMES[phase]} {width:.0f} %" if row == 0 else None
            axes.barh(row, width, left=left, color=COLORS[phase], label=label)
            if width >= 3:
                axes.text(left + width / 2, row, f"{width:.0f} %", ha="center", va="center", fontsize=8)
            left += width
    axes.set_yticks(range(len(bars)), [name for name, _ in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"% of {duration(total)} (an idle GPU's time is put down to what the training did meanwhile)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.45), ncols=5, fontsize=8, frameon=False)
