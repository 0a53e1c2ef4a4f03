"""Plots of a dataset as inline SVG: no file, no global state, the same text for the same data."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from .report import DatasetReport, Lengths
from .words import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Stand-ins for the page's colours, so that a plot follows its light and its dark theme: hex -> CSS variable.
_COLORS = {"#010101": "--ink", "#020202": "--axis", "#030303": "--bar", "#040404": "--error"}
_INK, _LINE, _BAR, _OVER = _COLORS

#: Inches; the page scales it. Small, so that its text stays readable on a phone.
_SIZE = (3.8, 1.9)

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
        axes.stairs(lengths.counts, lengths.edges, fill=True, color=_BAR)
        axes.set_xlim(0, right * 1.02)
        axes.set_xlabel("tokens in a row")
        if cutoff_len is None:
            return
        label = f"cutoff_len {cutoff_len:,}"
        if cutoff_len > right * _FAR:
            axes.set_title(f"{label} \N{RIGHTWARDS ARROW}", loc="right", color=_INK)
            return
        axes.set_xlim(0, max(right, cutoff_len) * 1.02)
        if cutoff_len < right:
            _beyond(axes, lengths, cutoff_len)
        axes.axvline(cutoff_len, color=_OVER, linewidth=1.2, linestyle="--")
        on_the_right = cutoff_len > right / 2
        axes.annotate(
            label,
            (cutoff_len, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3 if on_the_right else -3, 3),
            textcoords="offset points",
            ha="right" if on_the_right else "left",
            color=_OVER,
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
        axes.stairs(dataset.trained_share, [100 * i / classes for i in range(classes + 1)], fill=True, color=_BAR)
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

    over = axes.stairs(lengths.counts, lengths.edges, fill=True, color=_OVER)
    window = Rectangle((cutoff_len, 0), lengths.edges[-1], 2 * max(lengths.counts), transform=axes.transData)
    over.set_clip_path(window)


def _svg(draw: Callable[[Axes], None], prefix: str) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    # The context restores what the process had set; within it the defaults make a user's matplotlibrc irrelevant.
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "svg.hashsalt": prefix,
                "svg.fonttype": "none",
                "font.size": 8,
                "axes.titlesize": 8,
                "axes.titlepad": 3,
                "axes.edgecolor": _LINE,
                "axes.labelcolor": _INK,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "xtick.color": _LINE,
                "ytick.color": _LINE,
                "xtick.labelcolor": _INK,
                "ytick.labelcolor": _INK,
            }
        )
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        axes.set_ylabel("rows")
        draw(axes)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=1))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return _inline(stream.getvalue(), prefix)


def _inline(svg: bytes, prefix: str) -> str:
    """Reduce an SVG file to what stands inside a page: no namespaces, no fixed size, only ids that are referred to."""
    root = ElementTree.fromstring(svg)
    for metadata in root.findall("{*}metadata"):
        root.remove(metadata)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    root.attrib = {"viewBox": root.attrib["viewBox"], "aria-hidden": "true", "focusable": "false"}
    text = ElementTree.tostring(root, encoding="unicode")
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name is not None and f"#{name}" in text:
            element.set("id", f"{prefix}-{name}")
    text = ElementTree.tostring(root, encoding="unicode")
    text = text.replace("url(#", f"url(#{prefix}-").replace('href="#', f'href="#{prefix}-')
    for color, variable in _COLORS.items():
        text = text.replace(color, f"var({variable})")
    return text
