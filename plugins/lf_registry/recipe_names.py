"""The template, the datasets and the DeepSpeed file that a recipe names: whether they exist, and what to do if not."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .dataset_info import FILE_NAME, check_datasets
from .errors import UserError, did_you_mean
from .files import is_dir, is_file
from .paths import roots
from .recipes import Recipe, names
from .secret_text import hide_in_text, names_a_secret
from .templates import builtin_template_names, load_templates


class WrongName(NamedTuple):
    """One name that leads nowhere.

    Attributes:
        key: of the recipe: ``template``, ``dataset`` (also for ``eval_dataset``), ``deepspeed``, or an unknown one.
        message: what is wrong, with the names that exist and the one probably meant.
        fix: what to change, or the next command to type.
    """

    key: str
    message: str
    fix: str


def check_names(recipe: Recipe, others: Sequence[WrongName] = ()) -> None:
    """Check the template, the datasets and the DeepSpeed file that a recipe names.

    Args:
        recipe: the recipe.
        others: problems that are known already, to be said with these.

    Raises:
        UserError: lists all problems with the names that exist and the one probably meant.
    """
    wrong = [*others, *wrong_names(recipe)]
    if not wrong:
        return
    fixes = {name.fix for name in wrong}
    typed = (hide_in_text(text) for text in recipe.overrides if not names_a_secret(text.partition("=")[0]))
    every = shlex.join(["lf-registry", "check", str(recipe.path), *typed, "--no-data"])
    problems = [f"{recipe.path}: {name.key}: {name.message}" for name in wrong]
    raise UserError(problems, hint=fixes.pop() if len(fixes) == 1 else f"{every}   # says what to do for each")


def wrong_names(recipe: Recipe) -> list[WrongName]:
    """Every name in a recipe that leads nowhere; a value of a wrong type is left to others, but for the template's."""
    return [*_template(recipe), *_datasets(recipe), *_deepspeed(recipe)]


def _other_folder(recipe: Recipe, name: str) -> str | None:
    """What to do when a relative path of the recipe leads somewhere from a folder above the recipe: go there."""
    if Path(name).is_absolute():
        return None
    above = next((folder for folder in recipe.path.absolute().parents if is_file(folder / name)), None)
    return f"run it from the folder at which its paths start: cd {shlex.quote(str(above))}" if above else None


def _template(recipe: Recipe) -> Iterator[WrongName]:
    name = recipe.values.get("template")
    if name is None:
        return
    if not isinstance(name, str):
        yield WrongName("template", f"must be a name, is {type(name).__name__}", "lf-registry list templates")
        return
    try:
        known = set(load_templates()) | builtin_template_names()
    except UserError as error:
        for problem in error.problems:
            yield WrongName("template", problem, "correct the file, then: lf-registry list templates")
        return
    if name not in known:
        message = f"{name!r} does not exist; {did_you_mean(name, known, kind='templates')}"
        yield WrongName("template", message, "lf-registry list templates")


def _datasets(recipe: Recipe) -> Iterator[WrongName]:
    listed = names(recipe.values.get("dataset")) + names(recipe.values.get("eval_dataset"))
    tokenized = recipe.values.get("tokenized_path")
    if isinstance(tokenized, str) and tokenized and is_dir(tokenized) and any(Path(tokenized).iterdir()):
        return  # LLaMA-Factory loads the tokenized data and never looks for the datasets
    folder = recipe.values.get("dataset_dir", "data")
    if not listed or not isinstance(folder, str):
        return
    try:
        check_datasets(listed, folder)
    except UserError as error:
        for problem in error.problems:
            message = problem.removeprefix("dataset: ")
            lost = "so no dataset is known" in message
            elsewhere = _other_folder(recipe, str(Path(folder, FILE_NAME))) if lost else None
            yield WrongName("dataset", message, elsewhere or _what_to_do_about_data(message, Path(folder)))


def _what_to_do_about_data(message: str, folder: Path) -> str:
    if "still empty" in message:
        return "fill the file with examples, or: lf-registry convert SOURCE --name NAME"
    if "so no dataset is known" in message:
        here = Path(FILE_NAME).is_file()
        return "write `dataset_dir: .`" if here else f"set `dataset_dir:` to the folder that holds {FILE_NAME}"
    if "is not in" in message:
        return "lf-registry list datasets"
    return f"correct {folder / FILE_NAME}, or write the dataset anew: lf-registry convert SOURCE --name NAME"


def _deepspeed(recipe: Recipe) -> Iterator[WrongName]:
    name = recipe.values.get("deepspeed")
    if not isinstance(name, str) or name.lstrip().startswith("{") or is_file(name):
        return
    known = next(
        (file for root in roots() for file in sorted((root.path / "recipes" / "deepspeed").glob("*.json"))), None
    )
    fix = f"name a file that exists, for example {known}" if known else "name a file that exists"
    fix = _other_folder(recipe, name) or fix
    yield WrongName("deepspeed", f"{name} does not exist (paths start at the current folder)", fix)
