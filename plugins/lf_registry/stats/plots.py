"""The plots of ``lf-registry stats``: one SVG file each, with text left as text so that any reader's fonts show it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import write_atomically
from .measure import PARTS, Stats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Bars of the plot of special characters.
_MARKS = 20


def write_plots(stats: Stats, folder: Path) -> list[Path]:
    """Write ``NAME_lengths.svg``, ``NAME_special.svg`` and, with contexts, ``NAME_positions.svg``; returns the paths.

    Raises:
        UserError: the folder cannot be written.
    """
    written = []
    for kind, draw in _plots(stats).items():
        path = folder / f"{stats.name}_{kind}.svg"
        write_atomically(path, _svg(draw))
        written.append(path)
    return written


def _plots(stats: Stats) -> dict[str, Callable[[Axes], None]]:
    unit = next(iter(stats.lengths["answer"]))
    marks = list(stats.special.get("answer", {}).items())[:_MARKS]

    def lengths(axes: Axes) -> None:
        axes.hist(stats.values["answer"][unit], bins="auto", color="#4477aa")
        axes.set_xlabel(f"{unit} of an answer")

    def special(axes: Axes) -> None:
        axes.bar([mark for mark, _ in marks], [count for _, (count, _) in marks], color="#4477aa")
        axes.set_xlabel("special character in answers")
        axes.set_ylabel("occurrences")

    def positions(axes: Axes) -> None:
        axes.bar([100 * (i + 0.5) / PARTS for i in range(PARTS)], stats.positions, width=90 / PARTS, color="#4477aa")
        axes.set_xlabel("where the answer begins, % of the context")

    found = {"lengths": lengths}
    if marks:
        found["special"] = special
    if stats.positions:
        found["positions"] = positions
    return found


def _svg(draw: Callable[[Axes], None]) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.hashsalt": "stats", "svg.fonttype": "none", "text.parse_math": False})
        figure = Figure(figsize=(6, 3.2), layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylabel("rows")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        draw(axes)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
