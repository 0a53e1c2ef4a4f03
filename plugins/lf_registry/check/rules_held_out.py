"""The data that is held out: whether there is any, and whether it is evaluated on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..recipes import Recipe, names
from .facts import error, evaluates, get, has_eval_data, is_on, number, stage, warning
from .report import Finding

Values = dict[str, Any]


def held_out(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Data to evaluate on."""
    size = number(values, "val_size") or 0
    if get(values, "eval_dataset") and size > 1e-6:
        yield error(
            recipe,
            "incompatible",
            "val_size",
            "LLaMA-Factory takes either `eval_dataset:` or `val_size:`",
            "remove one of the two",
        )
    elif size > 1e-6 and not get(values, "dataset") and not is_on(values, "do_train"):
        yield error(
            recipe, "incompatible", "val_size", "there is no `dataset:` to hold anything out of", "use `eval_dataset:`"
        )
    if isinstance(size, float) and size >= 1:
        fix = f"write `val_size: {int(size)}` for rows" if size > 1 else "write a share below 1, such as 0.1, or rows"
        if size != int(size) or size == 1:
            yield error(recipe, "out-of-range", "val_size", f"{size} is neither a share nor a number of rows", fix)
    wants = evaluates(values) or is_on(values, "do_predict") or is_on(values, "predict_with_generate")
    tokenized = get(values, "tokenized_path")
    if wants and not has_eval_data(values):
        key = "eval_strategy" if "eval_strategy" in values else "eval_dataset"
        yield error(
            recipe,
            "no-eval-data",
            key,
            "the recipe evaluates or predicts, and there is no data for it",
            "add `eval_dataset:`, or `val_size: 0.1` to hold out a tenth of the training data",
        )
    elif has_eval_data(values) and is_on(values, "do_train") and not wants and get(values, "eval_strategy") == "no":
        yield warning(
            recipe,
            "no-effect",
            "eval_dataset" if get(values, "eval_dataset") else "val_size",
            "data is held out and never evaluated on",
            "add `eval_strategy: epoch`",
        )
    elif is_on(values, "do_train") and not has_eval_data(values) and stage(values) != "ppo" and not tokenized:
        yield warning(
            recipe,
            "no-eval-data",
            "eval_dataset",
            "nothing is held out, so that nobody sees when the model starts to learn by heart",
            "add `val_size: 0.1` and `eval_strategy: epoch`, or an `eval_dataset:`",
        )
    both = sorted(set(names(get(values, "dataset"))) & set(names(get(values, "eval_dataset"))))
    if both and is_on(values, "do_train"):
        yield warning(
            recipe,
            "eval-is-train",
            "eval_dataset",
            f"{', '.join(both)} is also trained on: the evaluation cannot show what the model learned by heart",
            "use `val_size: 0.1` instead, or another dataset",
        )


RULES = (held_out,)
