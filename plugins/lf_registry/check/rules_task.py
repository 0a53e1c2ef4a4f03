"""What a recipe must have: a model, a task, data and a place for the result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..recipes import Recipe
from .facts import error, evaluates, get, is_on, warning
from .report import Finding

Values = dict[str, Any]


def something_to_do(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """A model, a task, data to train on and a place for the result."""
    if not get(values, "model_name_or_path"):
        yield error(
            recipe,
            "missing-key",
            "model_name_or_path",
            "there is no model to train",
            "add `model_name_or_path:` with a Hub id or a folder",
        )
    if not any(is_on(values, key) for key in ("do_train", "do_predict")) and not evaluates(values):
        other = (
            "it looks like one for `llamafactory-cli export` or `chat`; if it is to train, "
            if not ({"dataset", "output_dir", "stage"} & set(values))
            else ""
        )
        yield error(
            recipe,
            "missing-key",
            "do_train",
            "the recipe neither trains nor evaluates nor predicts: the model is loaded, and the run ends",
            f"{other}add `do_train: true`",
        )
        return
    if not get(values, "output_dir"):
        yield warning(
            recipe,
            "missing-key",
            "output_dir",
            "without it everything is written to ./trainer_output, also by the next recipe without it",
            "add `output_dir:`",
        )
    if is_on(values, "do_train") and not get(values, "dataset"):
        yield error(
            recipe,
            "missing-key",
            "dataset",
            "there is nothing to train on",
            "add `dataset:`; lf-registry list datasets",
        )


RULES = (something_to_do,)
