"""The whole check of a recipe, from its keys to its last row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..files import is_dir
from ..recipes import read_recipe
from .report import Finding, Report
from .rules import check_recipe
from .rules_folders import is_no_hub_id, named_models

#: Findings about these keys mean that the data cannot be read as the training would read it.
_NEEDED_FOR_DATA = frozenset(
    {"cutoff_len", "dataset", "dataset_dir", "eval_dataset", "model_name_or_path", "stage", "template", "val_size"}
)


def run_check(
    path: str | Path, overrides: Sequence[str] = (), *, data: bool = True, previews: int = 0, workers: int | None = None
) -> Report:
    """Check a recipe, and with ``data`` also its model folder, its template and every row of its datasets.

    Args:
        path: the recipe.
        overrides: ``key=value`` as on the command line of ``llamafactory-cli``.
        data: False for the keys alone, which imports neither torch nor LLaMA-Factory.
        previews: how many rows to show as tokens.
        workers: processes for the rows; None for one per core when there are many.

    Raises:
        UserError: the recipe cannot be read at all.
    """
    recipe = read_recipe(path, overrides)
    report = Report(str(path), recipe.values, overrides=tuple(overrides))
    report.add(check_recipe(recipe))
    if not data:
        report.not_checked.append("the model folder, the template and the data: left out by --no-data")
        return report
    _check_model(report)
    _ask_llamafactory(report)
    broken = {finding.where.rpartition(": ")[2] for finding in report.errors} & _NEEDED_FOR_DATA
    if broken:
        report.not_checked.append(f"the template and the data: correct {', '.join(sorted(broken))} first")
    elif not report.values.get("dataset") and not report.values.get("eval_dataset"):
        report.not_checked.append("the template and the data: the recipe names no dataset")
    else:
        _check_data(report, previews, workers)
    return report


def _check_model(report: Report) -> None:
    """The model and the adapter, where they are folders on this machine."""
    from .checkpoint import check_model_folder

    for key, folder in named_models(report.values):
        if key != "model_name_or_path" and not is_dir(folder) and not is_no_hub_id(folder):
            report.not_checked.append(f"{key}: {folder} is no folder here, so it is taken as a model of the Hub")
        if is_dir(folder):
            findings, notes = check_model_folder(Path(folder))
            report.add(findings)
            report.not_checked += notes
            if not findings:
                report.checked.append(f"{folder}: the files of the model are complete and fit each other")


def _ask_llamafactory(report: Report) -> None:
    """Let LLaMA-Factory's own parser have the last word; what it refuses and our rules know is not said twice."""
    from ..hooks.pipeline import refusal

    if not report.errors and (why := refusal(report.values)):
        fix = "correct the recipe; llamafactory-cli train would stop with this"
        report.add([Finding("error", "refused", report.recipe, f"LLaMA-Factory refuses this recipe: {why}", fix)])


def _check_data(report: Report, previews: int, workers: int | None) -> None:
    from .data import check_data

    tokenized = report.values.get("tokenized_path")
    if tokenized and Path(str(tokenized)).is_dir() and any(Path(str(tokenized)).iterdir()):
        folder = Path(str(tokenized))
        if not (folder / "dataset_dict.json").is_file() and not (folder / "state.json").is_file():
            message = f"{folder} is a folder, but not one that LLaMA-Factory saved tokenized data to: training stops"
            fix = "name a folder that does not exist yet, or remove the key"
            report.add([Finding("error", "tokenized-path", f"{report.recipe}: tokenized_path", message, fix)])
        report.not_checked.append(
            f"the data: tokenized_path {tokenized} exists, so LLaMA-Factory trains on what is in it, whatever the "
            "dataset files hold now"
        )
        return
    check_data(report, workers=workers, previews=previews)
