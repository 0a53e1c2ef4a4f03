"""The recipe half of ``lf-registry check``: every rule, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..paths import roots
from ..recipes import Recipe, check_names
from . import (
    rules_data,
    rules_deepspeed,
    rules_distribution,
    rules_folders,
    rules_hardware,
    rules_hub,
    rules_method,
    rules_model,
    rules_no_effect,
    rules_output,
    rules_quantization,
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
    try:
        check_names(recipe)
    except UserError as problems:
        for problem in problems.problems:
            said = problem.removeprefix(f"{recipe.path}: ")
            key, separator, message = said.partition(": ")
            if key == "template" and not isinstance(values.get(key), str):
                continue  # a wrong type has been reported
            if not separator or key not in ("template", "dataset", "deepspeed"):
                key, message = ("dataset" if "template" not in said.split(":")[0] else "template"), said
            yield error(recipe, "not-found", key, message, _what_to_do(key, message))


def _what_to_do(key: str, message: str) -> str:
    if "still empty" in message:
        return "fill the file with examples, or: lf-registry convert SOURCE --name NAME"
    if "so no dataset is known" in message:
        here = Path("dataset_info.json").is_file()
        return "write `dataset_dir: .`" if here else "set `dataset_dir:` to the folder that holds dataset_info.json"
    if key == "deepspeed":
        known = next(
            (file for root in roots() for file in sorted((root.path / "recipes" / "deepspeed").glob("*.json"))), None
        )
        return f"name a file that exists, for example {known}" if known else "name a file that exists"
    return f"lf-registry list {key}s"


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
    *rules_sampling.RULES,
    *rules_quantization.RULES,
    *rules_deepspeed.RULES,
    *rules_output.RULES,
    *rules_steps.RULES,
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
