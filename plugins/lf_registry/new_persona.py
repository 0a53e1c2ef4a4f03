"""``lf-registry new persona``: a template, an empty dataset with its entry, and the recipes, ready to edit."""

from __future__ import annotations

from pathlib import Path
from string import Template

import yaml

from .dataset_info import FILE_NAME, MESSAGES_ENTRY, add_entry, read_dataset_info
from .errors import UserError, WrongUsage, did_you_mean
from .files import write_atomically
from .paths import base_root
from .recipes import read_recipe
from .registry import yaml_files
from .template_spec import NAME, NAME_RULE
from .templates import builtin_templates, load_templates

SKELETONS = Path(__file__).with_name("skeletons")
DEEPSPEED = Path("recipes/deepspeed/ds_z3.json")


def new_persona(name: str, extends: str, *, root: Path, model: str | None = None) -> tuple[list[Path], str]:
    """Write the files of a new persona below ``root``.

    Args:
        name: of the template, the dataset and the recipes.
        extends: the chat format, a LLaMA-Factory template or one of ours.
        root: the folder that gets ``templates/``, ``datasets/``, ``recipes/`` and ``dataset_info.json``.
        model: what the recipe trains; when not given, what our own recipe for this format trains.

    Returns:
        The files written, and the model that the recipe trains.

    Raises:
        WrongUsage: the name or the format cannot be used.
        UserError: a file or a dataset of this name exists already, or one cannot be written; nothing is left then.
    """
    known = _check(name, extends)
    model = model or _usual_model(extends)
    if model is None:
        raise WrongUsage(
            f"no recipe here shows which model {extends!r} belongs to",
            hint=f"lf-registry new persona {name} --extends {extends} --model HUB_ID",
        )
    if yaml.safe_load(model) != model:
        raise WrongUsage(f"--model: {model!r} is neither a Hub id nor a path that can stand in a recipe")
    values = {"name": name, "extends": extends, "model": model}
    texts = {
        root / "templates" / f"{name}.yaml": _fill("template.yaml", values),
        root / "datasets" / f"{name}.json": "[]\n",
        root / "recipes" / f"{name}_lora.yaml": _fill("recipe.yaml", values),
        root / "recipes" / "merge" / f"{name}.yaml": _fill("merge.yaml", values),
    }
    problems = [f"{path} exists already" for path in texts if path.exists()]
    if name in known:
        problems.append(f"the template {name!r} exists already; {known[name]}")
    if (root / FILE_NAME).is_file() and name in read_dataset_info(root):
        problems.append(f"{root / FILE_NAME}: {name!r} exists already")
    if problems:
        raise UserError(problems, hint="choose another name; nothing was written")
    if not (root / DEEPSPEED).exists():
        texts[root / DEEPSPEED] = (base_root().path / DEEPSPEED).read_text(encoding="utf-8")
    try:
        for path, text in texts.items():
            write_atomically(path, text)
        add_entry(root, name, {"file_name": f"datasets/{name}.json", **MESSAGES_ENTRY})
    except UserError as error:
        for path in texts:  # all of them are new, and the same command would refuse them as somebody's
            path.unlink(missing_ok=True)
        hint = "the files written before it were removed again; make room, then the same command"
        raise UserError(error.problems, hint=error.hint or hint) from None
    return [*texts, root / FILE_NAME], model


def _check(name: str, extends: str) -> dict[str, str]:
    """Check both names; returns the taken template names and where each is defined."""
    if not NAME.fullmatch(name):
        raise WrongUsage(f"{name!r} {NAME_RULE}")
    builtin, ours = builtin_templates(), load_templates()
    if extends not in builtin and extends not in ours:
        known = did_you_mean(extends, {*builtin, *ours}, kind="templates")
        raise WrongUsage(f"--extends: {extends!r} does not exist; {known}")
    reason = builtin.get(extends)
    if reason:
        usable = [template for template, why in builtin.items() if why is None]
        nearest = did_you_mean(extends, usable, kind="templates")
        raise WrongUsage(f"--extends: {extends!r} cannot be extended, because {reason}; {nearest}")
    return dict.fromkeys(builtin, "it is one of LLaMA-Factory's own") | {key: str(ours[key].path) for key in ours}


def _fill(skeleton: str, values: dict[str, str]) -> str:
    return Template((SKELETONS / skeleton).read_text(encoding="utf-8")).substitute(values)


def _usual_model(extends: str) -> str | None:
    """The model that a shipped recipe trains with this format (or with a template that extends it)."""
    ours = load_templates()

    def format_of(template: str | None) -> str | None:
        return ours[template].builtin or template if template in ours else template

    for path in yaml_files(base_root().path / "recipes"):
        values = read_recipe(path).values
        if format_of(values.get("template")) == format_of(extends):
            return values.get("model_name_or_path")
    return None
