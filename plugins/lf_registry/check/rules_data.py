"""The data: how examples share a sequence, and datasets that are named twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..peft_methods.settings import learns_prompt
from ..recipes import Recipe, names
from .facts import is_on, stage, warning
from .report import Finding

Values = dict[str, Any]


def packing(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Several examples in one sequence."""
    prompt = values.get("peft") is not None and learns_prompt(values["peft"])  # refused, with either packing
    if stage(values) == "sft" and is_on(values, "packing") and not is_on(values, "neat_packing") and not prompt:
        yield warning(
            recipe,
            "packing",
            "packing",
            "the examples that share a sequence see each other: an answer is learned with a stranger's text before it",
            "write `neat_packing: true` instead: the same saving, with the examples kept apart",
        )
    if stage(values) in ("rm", "dpo", "kto", "ppo") and is_on(values, "packing"):
        yield warning(
            recipe,
            "no-effect",
            "packing",
            f"with `stage: {stage(values)}` LLaMA-Factory packs nothing, and only takes one token off cutoff_len",
            "remove it",
        )
    if is_on(values, "neat_packing") and values.get("packing") is False:
        yield warning(
            recipe,
            "packing",
            "packing",
            "`neat_packing: true` switches packing on all the same",
            "remove one of the two",
        )


def repeated(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """A dataset that is named twice."""
    for key in ("dataset", "eval_dataset"):
        listed = names(values.get(key))
        twice = sorted({name for name in listed if listed.count(name) > 1})
        if twice:
            yield warning(
                recipe,
                "no-effect",
                key,
                f"{', '.join(twice)} is named twice; LLaMA-Factory reads it once",
                "name it once; to see its rows more often, raise num_train_epochs or set num_samples in its entry",
            )


RULES = (packing, repeated)
