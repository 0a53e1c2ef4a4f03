"""The order in which rows are read, where sorting them by length changes more than the speed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..recipes import Recipe
from .facts import error, get, is_on, stage
from .report import Finding

Values = dict[str, Any]


def sorted_by_length(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """``train_sampling_strategy: group_by_length``, which Transformers uses for evaluation and prediction as well."""
    key = "train_sampling_strategy"
    if get(values, key) != "group_by_length" or is_on(values, "streaming"):
        return
    if stage(values) in ("rm", "dpo"):
        yield error(
            recipe,
            "incompatible",
            key,
            f"`stage: {stage(values)}` has two answers in a row, and Transformers, which looks for the length of one, "
            "stops",
            "remove it",
        )
    elif stage(values) == "sft" and is_on(values, "do_predict"):
        alone = "predict in a run of its own, with" if is_on(values, "do_train") else "to predict, write"
        yield error(
            recipe,
            "predictions-sorted",
            key,
            "what is predicted is sorted by length too: in generated_predictions.jsonl each prompt stands beside the "
            "answer and the label of another row",
            f"{alone} `{key}: random`",
        )


RULES = (sorted_by_length,)
