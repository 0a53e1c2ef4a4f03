"""The lengths of a recipe's rows from a saved ``lf-registry check RECIPE --json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..recipes import Recipe, names

if TYPE_CHECKING:
    from .tokens import DatasetTokens


def read_check(path: Path, recipe: Recipe, cutoff: int, result: DatasetTokens) -> None:
    """Fill in the lengths of all rows of a recipe's datasets.

    Raises:
        UserError: the file is not a check, is one of another recipe, or was made without a tokenizer.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        for key, split, target in (("dataset", "train", result.lengths), ("eval_dataset", "eval", result.eval_lengths)):
            counted = {data["name"]: data for data in report["datasets"] if data.get("split", "train") == split}
            for name in names(recipe.values.get(key)):
                if name not in counted:
                    raise UserError(
                        f"{path}: {key}: has no {name}, so it is not a check of this recipe",
                        hint=f"lf-registry check {recipe.path} --json > {path}",
                    )
                target.extend(_checked(counted[name], path, cutoff, recipe.values.get("max_samples")))
                if counted[name].get("lengths"):
                    maximum = min(cutoff, int(counted[name]["lengths"]["maximum"]))
                    result.longest = max(result.longest or 0, maximum) or None
        if report.get("cutoff_len") not in (None, cutoff):
            result.notes.append(
                f"--check: was made with cutoff_len {report['cutoff_len']}, the recipe's is {cutoff}: check it again"
            )
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise UserError(
            f"{path}: is not what `lf-registry check --json` prints ({type(error).__name__}: {error})",
            hint=f"lf-registry check RECIPE --json > {path}",
        ) from None


def _checked(dataset: dict[str, Any], path: Path, cutoff: int, most: Any) -> list[int]:
    """The lengths of a checked dataset, as many as ``max_samples`` lets through."""
    rows, tokens = int(dataset["kept"]), dataset["tokens"]
    if tokens is None:
        raise UserError(
            f"{path}: dataset {dataset['name']}: has no tokens, because the check had no tokenizer",
            hint="run `lf-registry check` where the model's tokenizer is, or leave --check out",
        )
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
