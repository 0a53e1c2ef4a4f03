"""The loss plots, drawn anew: LLaMA-Factory writes the output folder's path into the picture, unseen by any search."""

from __future__ import annotations

import io
from typing import Any

from .artifact import Artifact, Upload


def plot(name: str, trainer_state: dict[str, Any]) -> bytes | None:
    """Draw ``training_KEY.png`` from a training's log.

    Args:
        name: the file's name; its KEY is a metric of the log, with ``_`` for ``/``.
        trainer_state: the content of ``trainer_state.json``.

    Returns:
        A PNG file, the same for the same log; None when the log does not have the metric.
    """
    metric, points = _curve(name, trainer_state)
    if not points:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(*zip(*points, strict=True), color="#1f77b4", marker="." if len(points) < 60 else None)
    axes.set(title=f"training {metric}", xlabel="step", ylabel=metric)
    axes.grid(alpha=0.3)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    return content.getvalue()


def merged_plots(artifact: Artifact) -> list[Upload]:
    """The loss plots of the adapter's training, for the model that it was merged into."""
    if artifact.training == artifact.folder:
        return []
    state = artifact.facts.get("trainer_state", {})
    names = [path.name for path in artifact.training.glob("training_*.png")]
    pictures = {name: picture for name in names if (picture := plot(name, state)) is not None}
    return [Upload(name, len(picture), content=picture) for name, picture in pictures.items()]


def has_curve(name: str, trainer_state: dict[str, Any]) -> bool:
    """Whether ``plot`` can draw this picture."""
    return bool(_curve(name, trainer_state)[1])


def _curve(name: str, trainer_state: dict[str, Any]) -> tuple[str | None, list[tuple[float, float]]]:
    key = name.removeprefix("training_").removesuffix(".png")
    history = trainer_state.get("log_history")
    rows = [row for row in history if isinstance(row, dict)] if isinstance(history, list) else []
    metric = next((known for row in rows for known in row if known.replace("/", "_") == key), None)
    points = [(row.get("step"), row[metric]) for row in rows if metric is not None and metric in row]
    return metric, [(x, y) for x, y in points if isinstance(x, int | float) and isinstance(y, int | float)]
