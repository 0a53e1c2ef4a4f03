"""The plots of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..svg import BAR, ERROR, INK, LINE, OTHER, inline_svg
from .metrics import Metric
from .rows import Row
from .sides import AFTER, BEFORE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: (caption, the same in words, SVG).
Plot = tuple[str, str, str]


def plots(rows: Sequence[Row], metrics: Sequence[Metric]) -> list[Plot]:
    """The difference on each prompt for each metric, and the lengths of the answers."""
    found = [plot for i, metric in enumerate(metrics) if (plot := _differences(rows, metric, f"metric{i}"))]
    return [*found, _lengths(rows)]


def _differences(rows: Sequence[Row], metric: Metric, prefix: str) -> Plot | None:
    """One bar a prompt, sorted: better on one side, worse on the other. None when there is nothing to show."""
    pairs = [(row.said[BEFORE].values[metric.name], row.said[AFTER].values[metric.name]) for row in rows]
    sign = 1 if metric.higher else -1
    gains = sorted(sign * (metric.row(a) - metric.row(b)) for b, a in pairs if a is not None and b is not None)
    if not any(gains):
        return None

    def draw(axes: Axes) -> None:
        axes.bar(range(len(gains)), gains, width=1.0, color=[BAR if gain > 0 else ERROR for gain in gains])
        axes.axhline(0, color=LINE, linewidth=0.8)
        axes.set_xlim(-0.5, len(gains) - 0.5)
        axes.set_xlabel("prompts, sorted")
        axes.set_ylabel("better \N{RIGHTWARDS ARROW}")
        axes.set_xticks([])

    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    words = f"{metric.name} by prompt: better on {better}, worse on {worse}, equal on {len(gains) - better - worse}."
    return f"{metric.name}: difference on each prompt", words, inline_svg(draw, prefix)


def _lengths(rows: Sequence[Row]) -> Plot:
    lengths = {side: [len(row.said[side].text.strip()) for row in rows] for side in (BEFORE, AFTER)}
    longest = max(max(values) for values in lengths.values()) or 1

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator, StrMethodFormatter

        edges = [longest * i / 20 for i in range(21)]
        axes.hist(lengths[BEFORE], bins=edges, color=OTHER, label=BEFORE)
        axes.hist(lengths[AFTER], bins=edges, histtype="step", color=BAR, linewidth=1.5, label=AFTER)
        axes.set_xlabel("characters of an answer")
        axes.set_ylabel("answers")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.legend(frameon=False, labelcolor=INK)

    ranges = "; ".join(f"{side} {min(values):,} to {max(values):,}" for side, values in lengths.items())
    return (
        "Length of the answers",
        f"Histogram of the answers' lengths in characters: {ranges}.",
        inline_svg(draw, "length"),
    )
