"""Plots of a dataset as inline SVG: no file, no global state, the same text for the same data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..svg import BAR, ERROR, INK, inline_svg
from .report import DatasetReport, Lengths
from .words import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: A cutoff farther right than this many times the longest row is only named; drawn, it would crush the histogram.
_FAR = 1.5


def lengths_svg(lengths: Lengths, cutoff_len: int | None, prefix: str) -> str:
    """A histogram of row lengths in tokens, with the cutoff drawn in and what is beyond it in another colour.

    Args:
        lengths: of one dataset, with at least one class.
        cutoff_len: in tokens; None draws none.
        prefix: of the ids in the SVG, a word that no other plot of the page has.
    """

    def draw(axes: Axes) -> None:
        right = lengths.edges[-1]
        axes.stairs(lengths.counts, lengths.edges, fill=True, color=BAR)
        axes.set_xlim(0, right * 1.02)
        axes.set_xlabel("tokens in a row")
        if cutoff_len is None:
            return
        label = f"cutoff_len {cutoff_len:,}"
        if cutoff_len > right * _FAR:
            axes.set_title(f"{label} \N{RIGHTWARDS ARROW}", loc="right", color=INK)
            return
        axes.set_xlim(0, max(right, cutoff_len) * 1.02)
        if cutoff_len < right:
            _beyond(axes, lengths, cutoff_len)
        axes.axvline(cutoff_len, color=ERROR, linewidth=1.2, linestyle="--")
        on_the_right = cutoff_len > right / 2
        axes.annotate(
            label,
            (cutoff_len, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3 if on_the_right else -3, 3),
            textcoords="offset points",
            ha="right" if on_the_right else "left",
            color=ERROR,
        )

    return _svg(draw, prefix)


def share_svg(dataset: DatasetReport, prefix: str) -> str:
    """A histogram of the share of trained tokens in a row, in percent.

    Args:
        dataset: with at least one class in ``trained_share``.
        prefix: of the ids in the SVG, a word that no other plot of the page has.
    """

    def draw(axes: Axes) -> None:
        classes = len(dataset.trained_share)
        axes.stairs(dataset.trained_share, [100 * i / classes for i in range(classes + 1)], fill=True, color=BAR)
        axes.set_xlim(0, 100)
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel(f"% of a row's tokens that are {'trained' if dataset.split == 'train' else 'scored'}")

    return _svg(draw, prefix)


def lengths_words(dataset: DatasetReport, cutoff_len: int | None) -> str:
    """What the histogram of lengths shows, for those who do not see it."""
    lengths = dataset.lengths
    assert lengths is not None
    text = (
        f"Histogram of the lengths of {plural(dataset.kept, 'row')}: "
        f"{lengths.minimum:,} to {lengths.maximum:,} tokens, half of the rows have {lengths.median:,} or fewer"
    )
    return text + (f"; cutoff_len is {cutoff_len:,}." if cutoff_len is not None else ".")


def share_words(dataset: DatasetReport) -> str:
    """What the histogram of trained shares shows, for those who do not see it."""
    step = 100 // len(dataset.trained_share)
    filled = ((i * step, number) for i, number in enumerate(dataset.trained_share) if number)
    classes = (f"{plural(number, 'row')} at {start} to {start + step} %" for start, number in filled)
    return (
        f"Histogram of the {'trained' if dataset.split == 'train' else 'scored'} share of a row: {', '.join(classes)}."
    )


def _beyond(axes: Axes, lengths: Lengths, cutoff_len: int) -> None:
    """Paint the part of the histogram that is cut again, in the colour of the cutoff."""
    from matplotlib.patches import Rectangle

    over = axes.stairs(lengths.counts, lengths.edges, fill=True, color=ERROR)
    window = Rectangle((cutoff_len, 0), lengths.edges[-1], 2 * max(lengths.counts), transform=axes.transData)
    over.set_clip_path(window)


def _svg(draw: Callable[[Axes], None], prefix: str) -> str:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    def with_axes(axes: Axes) -> None:
        axes.set_ylabel("rows")
        draw(axes)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=1))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))

    return inline_svg(with_axes, prefix)
