"""The lengths of a recipe's rows from a saved ``lf-registry check RECIPE --json``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..recipes import Recipe, names
from ..secret_text import HIDDEN

if TYPE_CHECKING:
    from .tokens import DatasetTokens

#: Keys of a recipe that a check's figures depend on, and what a difference means.
_MATTERS = {
    "model_name_or_path": "its token counts are that tokenizer's",
    "template": "its token counts are that template's",
    "val_size": "the recipe's is taken of the checked rows",
    "max_samples": "the recipe's is taken of the checked rows",
    "packing": "time and memory are estimated with the recipe's",
}


def read_check(path: Path, recipe: Recipe, cutoff: int, result: DatasetTokens) -> None:
    """Fill in the lengths of all rows of a recipe's datasets.

    Raises:
        UserError: the file is not a check, is one of another recipe, or was made without the data or a tokenizer; lists
            everything that is wrong with it.
    """
    file = path if path.suffix == ".json" else "check.json"  # `>` must not overwrite some other file
    hint = f"lf-registry check {shlex.quote(str(recipe.path))} --json > {shlex.quote(str(file))}"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if not report["datasets"] and any("--no-data" in text for text in report.get("not_checked", ())):
            raise UserError(f"{path}: was made with --no-data, so it counts nothing: check it again without", hint=hint)
        problems: list[str] = []
        for key, split, target in (("dataset", "train", result.lengths), ("eval_dataset", "eval", result.eval_lengths)):
            counted = {data["name"]: data for data in report["datasets"] if data.get("split", "train") == split}
            for name in names(recipe.values.get(key)):
                if name not in counted:
                    problems.append(f"{path}: {key}: has no {name}, so it is not a check of this recipe")
                elif counted[name]["tokens"] is None:
                    problems.append(
                        f"{path}: dataset {name}: has no tokens, because the check had no tokenizer; check it again "
                        "where the model's tokenizer is, or leave --check out"
                    )
                else:
                    target.extend(_checked(counted[name], cutoff, recipe.values.get("max_samples")))
                    if counted[name].get("lengths"):
                        maximum = min(cutoff, int(counted[name]["lengths"]["maximum"]))
                        result.longest = max(result.longest or 0, maximum) or None
        if problems:
            raise UserError(problems, hint=hint)
        result.notes += _differences(path, report, recipe, cutoff)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file", hint=hint) from None
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise UserError(
            f"{path}: is not what `lf-registry check --json` prints ({type(error).__name__}: {error})", hint=hint
        ) from None


def _differences(path: Path, report: dict[str, Any], recipe: Recipe, cutoff: int) -> list[str]:
    """What makes a check's figures those of another run, one sentence each."""
    notes = []
    if int(report.get("errors") or 0):
        count = int(report["errors"])
        notes.append(
            f"{path}: the check found {count} error{'' if count == 1 else 's'}, so rows may be dropped: correct the "
            "recipe or its data, then check again"
        )
    if report.get("cutoff_len") not in (None, cutoff):
        notes.append(
            f"--check: was made with cutoff_len {report['cutoff_len']}, the recipe's is {cutoff}: check it again"
        )
    checked = report.get("values")
    if not isinstance(checked, dict):
        return notes
    for key, why in _MATTERS.items():
        old, new = _setting(checked, key), _setting(recipe.values, key)
        if old not in (new, HIDDEN):
            notes.append(f"{path}: was made with {key} {_shown(old)}, the recipe's is {_shown(new)}; {why}")
    return notes


def _setting(values: dict[str, Any], key: str) -> Any:
    """A key as LLaMA-Factory uses it, so that a default that is written down is no difference."""
    value = values.get(key)
    if key == "packing":
        if values.get("neat_packing") is True:
            return True
        return values.get("stage") == "pt" if value is None else value
    return value or None if key == "val_size" else value


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _checked(dataset: dict[str, Any], cutoff: int, most: Any) -> list[int]:
    """The lengths of a checked dataset, as many as ``max_samples`` lets through."""
    rows, tokens = int(dataset["kept"]), dataset["tokens"]
    if rows < 0 or int(tokens) < rows:
        raise ValueError(f"dataset {dataset['name']}: {tokens} tokens in {rows} rows")
    spread = _spread(dataset.get("lengths"), rows, int(tokens), cutoff)
    if isinstance(most, int) and most < rows:
        return [spread[index * rows // most] for index in range(most)]  # of all lengths, because they are in order
    return spread


def _spread(lengths: dict[str, Any] | None, rows: int, tokens: int, cutoff: int) -> list[int]:
    """Turn a histogram into one length a row, scaled so that their sum is ``tokens``."""
    if not rows:
        return []
    middles: list[float] = []
    if lengths and lengths.get("counts"):
        edges = lengths["edges"]
        for low, high, count in zip(edges, edges[1:], lengths["counts"], strict=False):
            middles += [min((low + high) / 2, cutoff)] * int(count)
    if len(middles) != rows or not sum(middles):
        middles = [tokens / rows] * rows
    return scaled(middles, tokens, cutoff)


def scaled(lengths: Sequence[float], tokens: int, cutoff: int) -> list[int]:
    """Scale lengths until their sum is ``tokens``; those that reach the cutoff stay there, so it takes some rounds."""
    found = list(lengths)
    for _ in range(20):
        factor = tokens / sum(found)
        found = [max(1.0, min(float(cutoff), length * factor)) for length in found]
    return [round(length) for length in found]
