"""Compare the estimate with measured runs, which ``benchmarks/memory.py`` writes."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..recipes import Recipe
from .memory import GIB, estimate_memory
from .precision import precision_of
from .read_shape import read_shape
from .setup import read_setup

#: How far an estimate may be off.
TOLERANCE = 0.10


@dataclass(frozen=True)
class Comparison:
    """One measured run and its estimate.

    Attributes:
        measured: ``torch.cuda.max_memory_allocated`` in bytes; ``reserved`` by the allocator, None when not measured.
        estimated: all tensors, in bytes: no context, no fragmentation.
        device: ``cuda``, or ``fake`` and ``cpu`` for runs without a GPU.
    """

    name: str
    measured: float
    reserved: float | None
    estimated: float
    tokens_per_second: float | None
    device: str = "cuda"

    @property
    def ratio(self) -> float:
        """Estimated by measured."""
        return self.estimated / self.measured

    @property
    def off(self) -> bool:
        """Whether the estimate is off by more than the tolerance."""
        return abs(self.ratio - 1) > TOLERANCE


def compare(path: Path) -> list[Comparison]:
    """Estimate every run of a runs.json.

    Raises:
        UserError: the file is not what the benchmark writes; names the run and what is missing.
    """
    try:
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
        assert isinstance(runs, list)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file", hint=f"python benchmarks/memory.py --out {path}") from None
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise UserError(
            f"{path}: is not what benchmarks/memory.py writes ({type(error).__name__}: {error})",
            hint="python benchmarks/memory.py --out runs.json",
        ) from None
    found, problems = [], []
    for index, run in enumerate(runs):
        try:
            found.append(_compare(run))
        except UserError as error:
            problems += [f"{path}: run {index + 1}: {problem}" for problem in error.problems]
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}: run {index + 1}: {type(error).__name__}: {error}")
    if problems or not found:
        raise UserError(problems or f"{path}: holds no runs")
    return found


def _number(run: dict[str, Any], key: str) -> float | None:
    value = run.get(key)
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"{key}: needs a number above 0, is {value!r}")
    return number


def _compare(run: dict[str, Any]) -> Comparison:
    if not isinstance(run, dict) or not all(isinstance(run.get(key), dict) for key in ("config", "recipe")):
        raise ValueError("needs `config` and `recipe`, each an object")
    if not isinstance(run.get("gpus"), int) or run["gpus"] < 1:
        raise ValueError(f"gpus: needs a whole number from 1 up, is {run.get('gpus')!r}")
    recipe = Recipe(Path(str(run["name"])), {"model_name_or_path": "measured"} | run["recipe"])
    setup = read_setup(recipe)
    precision = precision_of(setup)
    if run.get("device") in ("cpu", "fake"):
        precision = replace(precision, mask=4)  # a CPU's dropout mask has the type of its input
    memory = estimate_memory(read_shape(run["config"], str(run["name"])), setup, int(run["gpus"]), None, precision)
    reserved, speed = (_number(run, key) for key in ("peak_reserved_bytes", "tokens_per_second"))
    measured = _number(run, "peak_allocated_bytes")
    if measured is None:
        raise KeyError("peak_allocated_bytes")
    return Comparison(str(run["name"]), measured, reserved, memory.allocated, speed, str(run.get("device", "cuda")))


def print_comparisons(comparisons: list[Comparison]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("run", "measured GiB", "estimated GiB", "ratio", "reserved GiB", ""):
        table.add_column(heading, justify="left" if heading in ("run", "") else "right")
    for run in comparisons:
        table.add_row(
            run.name,
            f"{run.measured / GIB:.2f}",
            f"{run.estimated / GIB:.2f}",
            f"{run.ratio:.3f}",
            f"{run.reserved / GIB:.2f}" if run.reserved else "-",
            f"off by more than {TOLERANCE:.0%}" if run.off else "",
        )
    console = Console(soft_wrap=True, highlight=False)
    console.width = max(console.width, 120)  # a figure that is cut is worse than a line that wraps
    console.print(table)
    if any(run.device != "cuda" for run in comparisons):
        print("note: not measured on a GPU: tensors were counted (benchmarks/memory.py --device fake or cpu)")
