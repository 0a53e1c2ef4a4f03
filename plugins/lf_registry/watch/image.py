"""Figures without a window and without pyplot, whose settings belong to LLaMA-Factory."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import write_bytes_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(inches: tuple[float, float], heights: list[float]) -> tuple[Figure, list[Axes]]:
    """A figure with one set of axes below the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    axes = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    return figure, list(axes[:, 0])


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, in one piece. Raises: UserError: it cannot be written."""
    image = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a Korean name and a font without Hangul
        figure.savefig(image, format="png", dpi=100)
    write_bytes_atomically(path, image.getvalue())
