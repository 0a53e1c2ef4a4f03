"""Which model on the Hub something was trained from."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ..errors import UserError
from ..files import is_dir

#: Folders that trainings write to: `outputs/x` has the shape of a Hub id, and is none.
_OUTPUT_FOLDERS = (
    *("outputs", "output", "out", "saves", "save", "models", "model", "checkpoints", "checkpoint", "ckpt", "ckpts"),
    *("data", "tmp", "results", "runs", "exp"),
)


def is_hub_id(text: object) -> bool:
    """Whether this names a repository on the Hub: it looks like an id, and is no folder here."""
    return looks_like_hub_id(text) and not is_dir(str(text))


def looks_like_hub_id(text: object) -> bool:
    """Whether this can be an id on the Hub: ``NAME`` or ``OWNER/NAME``, and not what a training's output is called."""
    if not isinstance(text, str) or not text or re.match(r"checkpoint-\d+$", text.rpartition("/")[2]):
        return False
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return "/" not in text or text.split("/")[0].lower() not in _OUTPUT_FOLDERS


def base_model_id(said: str | None, recipe_says: object) -> str | None:
    """The base model's id on the Hub, when anything gives one: the files, the recipe, a folder's place in the cache."""
    for name in (said, recipe_says):
        if is_hub_id(name):
            return str(name)
    return next((id_ for name in (said, recipe_says) if isinstance(name, str) and (id_ := _origin(Path(name)))), None)


def find_base_model(said: str | None, recipe_says: object, card_says: object) -> str:
    """The Hub id of the base model.

    A local folder in the weights' own files is replaced by the id that the recipe, the card, or the folder's own files
    give.

    Args:
        said: what the weights' files say: a Hub id or a folder.
        recipe_says: the recipe's ``model_name_or_path``.
        card_says: ``base_model`` of a README.md that stands there already.

    Raises:
        UserError: nobody gives an id, or two give different ones.
    """
    if isinstance(card_says, list) and len(card_says) == 1:
        card_says = card_says[0]
    sources = {"the folder": said, "the recipe": recipe_says, "README.md": card_says}
    ids = {source: str(value) for source, value in sources.items() if is_hub_id(value)}
    if looks_like_hub_id(card_says):  # a card speaks of the Hub, also where a folder here has the same name
        ids["README.md"] = str(card_says)
    if not ids:
        for folder in (said, recipe_says):
            if isinstance(folder, str) and (origin := _origin(Path(folder))):
                return origin
        local = next((str(value) for value in sources.values() if value), None)
        what = f"{local!r} is a folder of this machine, or no Hub id" if local else "no file says it"
        raise UserError(
            f"base_model: it is not known which model on the Hub this was trained from: {what}. The Hub refuses a card "
            "without its id, and nobody could load an adapter",
            hint="name the recipe that trained it (--recipe RECIPE), with model_name_or_path: OWNER/NAME; or write "
            "`base_model: OWNER/NAME` into the metadata of README.md",
        )
    if len(set(ids.values())) > 1:
        listing = ", ".join(f"{source} says {value}" for source, value in ids.items())
        raise UserError(
            f"base_model: {listing}. A card that names the wrong base model gives wrong answers; "
            "correct README.md, or name the recipe that trained these weights"
        )
    return next(iter(ids.values()))


def _origin(folder: Path) -> str | None:
    """The Hub id of a local model: by its place in the Hub's cache, or by its own files."""
    for part in folder.parts:
        if part.startswith("models--") and is_hub_id(name := part.removeprefix("models--").replace("--", "/")):
            return name
    for name, key in (("config.json", "_name_or_path"), ("merge_report.json", "base")):
        try:
            value = json.loads((folder / name).read_text(encoding="utf-8")).get(key)
        except (OSError, ValueError, AttributeError):
            continue
        if is_hub_id(value):
            return str(value)
    return None
