"""What leaves the machine: the Hub, trackers; and paths that the launcher breaks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from typing import Any

from ..errors import did_you_mean
from ..files import is_dir
from ..recipes import Recipe
from .facts import error, get, is_on, text, warning
from .report import Finding
from .source import source_of

Values = dict[str, Any]


def hub(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Where and how the model is pushed."""
    for key in ("hub_model_id", "export_hub_model_id"):
        name = text(values, key)
        if name and (why := _not_a_repository(name, values)):
            yield error(
                recipe, "hub-name", key, f"{name!r} {why}", f"write `{key}: NAME` or `{key}: ORGANIZATION/NAME`"
            )
    if is_on(values, "push_to_hub") and get(values, "hub_private_repo") is None:
        yield warning(
            recipe,
            "public",
            "push_to_hub",
            "a new repository on the Hub is public, unless your organization decides otherwise",
            "add `hub_private_repo: true` (or false, if public is meant)",
        )
    if get(values, "hub_model_id") and not is_on(values, "push_to_hub"):
        yield warning(
            recipe,
            "no-effect",
            "hub_model_id",
            "nothing is pushed without `push_to_hub: true`",
            "add `push_to_hub: true`, or remove it",
        )


def _not_a_repository(name: str, values: Values) -> str | None:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    if name == get(values, "output_dir") or is_dir(name):
        return "is a local folder, and this key names a repository on the Hub"
    try:
        validate_repo_id(name)
    except HFValidationError:
        return "cannot be the name of a repository on the Hub"
    return None


@cache
def trackers() -> tuple[str, ...]:
    """The names that Transformers takes in ``report_to``, from its source."""
    for node in source_of("transformers", "integrations/integration_utils.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "INTEGRATION_TO_CALLBACK":
            assert isinstance(node.value, ast.Dict)
            return tuple(ast.literal_eval(key) for key in node.value.keys if key is not None)
    return ()


def report_to(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Trackers, which get the recipe's values and the losses."""
    value = get(values, "report_to")
    chosen = value if isinstance(value, list) else [value]
    if chosen == ["all"]:
        yield warning(
            recipe,
            "tracker",
            "report_to",
            "`all` sends the run to every tracker that happens to be installed, and may ask for a login",
            "name the one you want, or write `report_to: none`",
        )
        return
    for name in chosen:
        if isinstance(name, str) and name != "none" and name not in trackers():
            yield error(
                recipe,
                "tracker",
                "report_to",
                f"Transformers has no tracker {name!r}, and stops after loading the model",
                did_you_mean(name, [*trackers(), "none"], kind="trackers", most=16),
            )
    allowed = ("wandb", "tensorboard", "trackio", "none")
    refused = [name for name in chosen if name in trackers() and name not in allowed]
    if get(values, "stage") == "ppo" and refused:
        yield error(
            recipe,
            "wrong-stage",
            "report_to",
            f"`stage: ppo` does not take {refused[0]}",
            f"one of {', '.join(allowed)}",
        )


def launcher(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """LLaMA-Factory's launcher joins its command line and splits it at spaces; values inside the file are safe."""
    if " " in str(recipe.path):
        several = "always so with `deepspeed:`" if get(values, "deepspeed") else "so it is on several GPUs"
        found = error if get(values, "deepspeed") else warning
        yield found(
            recipe,
            "space-in-path",
            "",
            "the recipe's own path has a space, at which LLaMA-Factory's launcher breaks its command when it starts "
            f"torchrun ({several})",
            "move the recipe to a path without spaces",
        )


RULES = (hub, report_to, launcher)
