"""The verb: options in, text or JSON out, an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..errors import WrongUsage
from ..files import json_text
from ..recipes import read_recipe
from .disk import parse_size
from .disk_change import disk_lines, smaller_disk
from .gpu_names import parse_gpus
from .gpus import load_gpus
from .measured import compare, print_comparisons
from .report import print_lines, print_table, result_lines, subject_lines
from .run import Row, all_rows, as_json, read_subject, result_of, row_of

#: Rows, one a type, of the short table, which is printed when no GPUs are asked for.
SHORT = 8


def estimate(
    recipe: Path | None,
    overrides: Sequence[str] = (),
    *,
    gpus: str | None = None,
    everything: bool = False,
    as_data: bool = False,
    tokens: int | None = None,
    check: Path | None = None,
    prices: Path | None = None,
    disk: str | None = None,
    measured: Path | None = None,
) -> int:
    """Print an estimate.

    Returns:
        The exit code: 0 it fits, 1 it does not (or a measured run is off by more than a tenth).

    Raises:
        WrongUsage: options that do not go together, an unknown GPU.
        UserError: something is wrong with the recipe, the model, or a file.
    """
    if measured is not None:
        if recipe is not None or gpus or everything:
            raise WrongUsage("--measured takes its runs from the file; leave RECIPE, --gpus and --all out")
        runs = compare(measured)
        if as_data:
            print(json_text([asdict(run) | {"ratio": run.ratio, "off": run.off} for run in runs]), end="")
        else:
            print_comparisons(runs)
        return int(any(run.off for run in runs))
    if recipe is None:
        raise WrongUsage("which recipe? lf-registry estimate RECIPE [key=value ...]", hint="lf-registry list recipes")
    if gpus and everything:
        raise WrongUsage("--gpus and --all do not go together: --all tries every GPU")
    known = load_gpus(prices)
    size = parse_size(disk) if disk is not None else None
    wanted = parse_gpus(gpus, known) if gpus is not None else None
    subject = read_subject(read_recipe(recipe, overrides), tokens, check)
    rows = [] if wanted else all_rows(subject, known)
    chosen = row_of(subject, *wanted) if wanted else rows[0]
    result = result_of(subject, chosen, known)
    full = size is not None and result.disk.total > size
    if as_data:
        plain = as_json(subject, result, rows)
        if size is not None:
            plain["disk_fits"] = not full
            plain["disk_suggestion"] = list(smaller_disk(subject, result, size)) if full else None
        print(json_text(plain), end="")
    else:
        print_lines(subject_lines(subject))
        if rows:
            print()
            print_table(rows if everything else _short(rows))
        print_lines(result_lines(result, subject) + (disk_lines(subject, result, size) if size is not None else []))
    return int(not chosen.fits or full)


def _short(rows: list[Row]) -> list[Row]:
    """The cheapest choice of each type, of those that fit if any does."""
    best: dict[str, Row] = {}
    for row in [row for row in rows if row.fits] or rows:
        best.setdefault(row.gpu.name, row)
    return list(best.values())[:SHORT]
