"""Hook on ``llamafactory.launcher``: start-up defaults, and the mistakes that can be seen before anything starts."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import ModuleType

from ..errors import UserError
from ..recipe_names import WrongName, check_names
from ..recipes import Recipe, read_recipe
from ..resume.launch import Subprocess
from ..watch import seconds_between_samples


def apply(module: ModuleType) -> None:
    """Run ``prepare`` before LLaMA-Factory's launcher decides how to start."""
    original = module.launch

    def launch() -> None:
        if sys.argv[1:2] == ["train"]:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # "save": until the training listens it must not kill
            prepare(sys.argv[2:], module)
        elif sys.argv[1:2] and _is_recipe(sys.argv[2:]):
            read_recipe(sys.argv[2])  # for its errors: a name that does not exist, YAML that is none
        original()

    module.launch = launch
    module.subprocess = Subprocess()


def prepare(arguments: list[str], module: ModuleType) -> None:
    """Check the recipe's names, then set what DeepSpeed needs; what the user has set wins.

    Raises:
        UserError: an unknown key, template or dataset, or a space where the launcher would break its command.
    """
    seconds_between_samples()  # for its error, which each of several processes would print again
    recipe = read_recipe(arguments[0], arguments[1:]) if _is_recipe(arguments) else None
    if recipe is not None:
        check_names(recipe, _unknown_keys(recipe))
    if _uses_deepspeed(recipe, arguments) and not _flag("USE_RAY") and not _flag("USE_KT"):
        os.environ.setdefault("FORCE_TORCHRUN", "1")
    if _will_use_torchrun():
        _set_up_torchrun(arguments, module)


def _is_recipe(arguments: list[str]) -> bool:
    return bool(arguments) and Path(arguments[0]).suffix in (".yaml", ".yml")


def _unknown_keys(recipe: Recipe) -> list[WrongName]:
    """The keys for which LLaMA-Factory's parser would stop, half a minute later and in a page of traceback."""
    if _flag("USE_MCA"):
        return []  # it adds the keys of another package
    from ..check.keys import check_keys

    return [
        WrongName(finding.where.rpartition(": ")[2], finding.message, finding.fix)
        for finding in check_keys(recipe)
        if finding.severity == "error" and finding.code in ("unknown-key", "old-key")
    ]


def _uses_deepspeed(recipe: Recipe | None, arguments: list[str]) -> bool:
    if recipe is not None:
        return bool(recipe.values.get("deepspeed"))
    return any(argument.split("=")[0] == "--deepspeed" for argument in arguments)


def _flag(name: str) -> bool:
    return os.environ.get(name, "0").lower() in ("true", "y", "1")


def _will_use_torchrun() -> bool:
    from llamafactory.extras.misc import get_device_count, use_kt, use_ray

    return _flag("FORCE_TORCHRUN") or (get_device_count() > 1 and not use_ray() and not use_kt())


def _set_up_torchrun(arguments: list[str], module: ModuleType) -> None:
    from llamafactory.extras.misc import get_device_count

    if get_device_count() == 0:
        os.environ.setdefault("NPROC_PER_NODE", "1")
    # The launcher calls `torchrun` by name: without an activated environment it would not be found, or be another's.
    beside_python = Path(sys.executable).parent
    if (beside_python / "torchrun").exists():
        os.environ["PATH"] = f"{beside_python}{os.pathsep}{os.environ.get('PATH', '')}"
    problems = [
        f"the argument {argument!r} {'contains a space' if argument else 'is empty'}, "
        "where LLaMA-Factory's launcher breaks its command"
        for argument in arguments
        if len(argument.split()) != 1
    ]
    if len(str(module.__file__).split()) != 1:
        problems.append(
            f"LLaMA-Factory is installed in {module.__file__!r}; its launcher breaks at the space in that path"
        )
    if problems:
        raise UserError(
            problems, hint="move the folder or file to a path without spaces; put texts into the recipe file"
        )
