"""The recipe half of ``lf-registry check``: every rule, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..recipe_names import wrong_names
from ..recipes import Recipe
from . import (
    rules_data,
    rules_deepspeed,
    rules_deprecated,
    rules_distribution,
    rules_folders,
    rules_hardware,
    rules_held_out,
    rules_hub,
    rules_method,
    rules_model,
    rules_no_effect,
    rules_output,
    rules_quantization,
    rules_reading,
    rules_sampling,
    rules_stage,
    rules_steps,
    rules_task,
)
from .facts import error
from .hidden import findings_without_secrets
from .keys import check_keys
from .report import Finding
from .secrets import check_secrets

Rule = Callable[[dict[str, Any], Recipe], Iterator[Finding]]


def names(values: dict[str, Any], recipe: Recipe) -> Iterator[Finding]:
    """The template, the datasets and the DeepSpeed file that the recipe names."""
    for wrong in wrong_names(recipe):
        if wrong.key == "template" and not isinstance(values.get("template"), str):
            continue  # a wrong type has been reported
        yield error(recipe, "not-found", wrong.key, wrong.message, wrong.fix)


#: Every rule, in the order in which a person would read a recipe.
RULES: tuple[Rule, ...] = (
    names,
    check_secrets,
    *rules_task.RULES,
    *rules_stage.RULES,
    *rules_method.RULES,
    *rules_distribution.RULES,
    *rules_no_effect.RULES,
    *rules_folders.RULES,
    *rules_model.RULES,
    *rules_data.RULES,
    *rules_held_out.RULES,
    *rules_reading.RULES,
    *rules_sampling.RULES,
    *rules_quantization.RULES,
    *rules_deepspeed.RULES,
    *rules_output.RULES,
    *rules_steps.RULES,
    *rules_deprecated.RULES,
    *rules_hub.RULES,
    *rules_hardware.RULES,
)


def check_recipe(recipe: Recipe) -> list[Finding]:
    """Check everything that a recipe's keys and values tell, in about a second and without importing PyTorch.

    Returns:
        All problems, without any secret that the recipe may hold.
    """
    findings = check_keys(recipe)
    for rule in RULES:
        findings += rule(recipe.values, recipe)
    return findings_without_secrets(findings, recipe.values)
