"""What a job will run: recipes with their output folders in place, and the commands of its stages."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..files import is_dir
from ..paths import base_root
from ..recipes import Recipe, names, read_recipe
from .places import Volume
from .request import Request

#: Keys that a training recipe and its merge recipe share: (in the training, in the merge).
_SHARED = (
    ("model_name_or_path", "model_name_or_path"),
    ("output_dir", "adapter_name_or_path"),
    ("template", "template"),
)


@dataclass(frozen=True)
class Plan:
    """A job, before it runs.

    Attributes:
        recipe: of the training, with all overrides.
        merge: the recipe of the merge, with all overrides; None without one.
        output: the training's output folder.
        merged: the merged model's folder; None without one.
        notes: what was changed, one sentence each.
    """

    recipe: Recipe
    merge: Recipe | None
    output: Path
    merged: Path | None
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The job's own folder, beside the output: log, state, lock."""
        return self.output.with_name(f"{self.output.name}.job")

    @property
    def result(self) -> Path:
        """What comes out in the end."""
        return self.merged or self.output


def working_folder(recipe: str) -> Path:
    """Where the stages run: the current folder, or the checkout when only that has the recipe and its datasets."""
    here, ours = Path.cwd(), base_root().path
    for folder in (here, ours):
        if (folder / recipe).is_file() and (folder / "dataset_info.json").is_file():
            return folder
    return here


def make_plan(request: Request, volume: Volume) -> Plan:
    """Read the recipes, and put their output folders where they survive.

    Raises:
        UserError: a recipe cannot be read, or the merge is not of what is trained.
    """
    written = read_recipe(request.recipe)
    recipe = read_recipe(request.recipe, request.train_overrides)
    if recipe.values.get("do_train") is not True:
        raise UserError(
            f"{recipe.path}: do_train is not true, so there is nothing to train",
            hint="name a training recipe: lf-registry list recipes",
        )
    output = recipe.values.get("output_dir")
    if not isinstance(output, str) or not output:
        raise UserError(f"{recipe.path}: output_dir: is missing", hint="add output_dir=outputs/NAME behind the recipe")
    notes: list[str] = []
    placed = volume.place(output)
    if placed != output:
        notes.append(f"output_dir={placed}, because {Path.cwd()} is not on the volume {volume.path}")
        recipe = _changed(recipe, "output_dir", placed)
    merge = _merge(request, written, recipe, volume, notes) if request.merge else None
    merged = Path(merge.values["export_dir"]) if merge else None
    return Plan(recipe, merge, Path(placed), merged, tuple(notes))


def _merge(request: Request, written: Recipe, recipe: Recipe, volume: Volume, notes: list[str]) -> Recipe:
    """The merge recipe, following what was changed in the training."""
    assert request.merge is not None
    merge = read_recipe(request.merge, request.merge_overrides)
    problems = []
    if recipe.values.get("finetuning_type", "lora") not in ("lora", "oft"):
        problems.append(
            f"--merge: {recipe.path} trains with finetuning_type: {recipe.values['finetuning_type']}, which writes a "
            "whole model: there is nothing to merge; leave --merge out"
        )
    for key, its in _SHARED:
        before, now = written.values.get(key), recipe.values.get(key)
        if before == now or its == "adapter_name_or_path":
            continue
        if merge.values.get(its) == before:
            notes.append(f"{its}={now} in the merge too")
            merge = _changed(merge, its, str(now))
    adapters = names(merge.values.get("adapter_name_or_path"))
    mine = [text for text in (written.values.get("output_dir"), recipe.values["output_dir"]) if isinstance(text, str)]
    same = [text for text in adapters if any(Path(text).absolute() == Path(own).absolute() for own in mine)]
    if not same:
        problems.append(
            f"{merge.path}: adapter_name_or_path: {', '.join(adapters) or 'nothing'} is merged, and {recipe.path} "
            f"writes to {written.values.get('output_dir')}: that is not what is trained here"
        )
    elif same[-1] != recipe.values["output_dir"]:
        moved = [recipe.values["output_dir"] if text in same else text for text in adapters]
        merge = _changed(merge, "adapter_name_or_path", ",".join(moved))
    target = merge.values.get("export_dir")
    if not isinstance(target, str) or not target:
        problems.append(f"{merge.path}: export_dir: is missing")
    elif volume.place(target) != target:
        notes.append(f"export_dir={volume.place(target)}, for the same reason")
        merge = _changed(merge, "export_dir", volume.place(target))
    if problems:
        raise UserError(problems, hint="correct the recipe, or name another one with --merge")
    return merge


def _changed(recipe: Recipe, key: str, value: str) -> Recipe:
    kept = [text for text in recipe.overrides if text.partition("=")[0] != key]
    return read_recipe(recipe.path, [*kept, f"{key}={value}"])


def is_local(model: object) -> bool:
    """Whether a recipe's model is a folder here."""
    return isinstance(model, str) and is_dir(model)


def command(name: str) -> str:
    """A command of this Python's environment, by its path; of ``PATH`` when it is not there."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise UserError(f"{name} is not installed beside {sys.executable}", hint="lf-registry doctor")
    return found


def commands(plan: Plan, request: Request, card_recipe: Path) -> dict[str, list[str]]:
    """The stages of this job in their order: name -> command.

    Args:
        plan: what runs.
        request: what was asked for.
        card_recipe: the recipe as it was run, for the model card.
    """
    own, train = command("lf-registry"), command("llamafactory-cli")
    recipe = [str(plan.recipe.path), *plan.recipe.overrides]
    found = {"check": [own, "check", *recipe], "train": [train, "train", *recipe]}
    if plan.merge is not None:
        found["merge"] = [own, "merge", str(plan.merge.path), *plan.merge.overrides]
    if request.publish:
        words = [own, "publish", str(plan.result), request.publish, "--recipe", str(card_recipe)]
        words += ["--license", request.license] if request.license else []
        found["publish"] = words + (["--public"] if request.public else [])
    return found
