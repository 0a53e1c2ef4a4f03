"""Matplotlib plots as SVG inside a page: no file, no global state, the same text for the same data."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Stand-ins for the page's colours, so that a plot follows its light and its dark theme: hex -> CSS variable.
COLORS = {"#010101": "--ink", "#020202": "--axis", "#030303": "--bar", "#040404": "--error", "#050505": "--other"}
INK, LINE, BAR, ERROR, OTHER = COLORS

#: Inches; the page scales it. Small, so that its text stays readable on a phone.
SIZE = (3.8, 1.9)


def inline_svg(draw: Callable[[Axes], None], prefix: str, size: tuple[float, float] = SIZE) -> str:
    """Draw a plot with the page's colours.

    Args:
        draw: what to put on the axes, in ``COLORS``.
        prefix: of the ids in the SVG, a word that no other plot of the page has.
        size: inches.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

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
                "axes.edgecolor": LINE,
                "axes.labelcolor": INK,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "xtick.color": LINE,
                "ytick.color": LINE,
                "xtick.labelcolor": INK,
                "ytick.labelcolor": INK,
            }
        )
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
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
    for color, variable in COLORS.items():
        text = text.replace(color, f"var({variable})")
    return text
