"""Which model on the Hub something was trained from, and under which licence that one is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files import is_dir, is_file
from ...network import stay_offline_without_network
from .licenses import License, license_from_metadata, license_from_name

#: Folders that trainings write to: `outputs/x` has the shape of a Hub id, and is none.
_OUTPUT_FOLDERS = (
    "output",
    "outputs",
    "save",
    "saves",
    "checkpoint",
    "checkpoints",
    "models",
    "runs",
    "results",
    "out",
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


def base_license(base: str) -> tuple[License | None, list[str]]:
    """The licence of a model on the Hub: from its card (in the cache, or on the Hub), else from the table.

    Without a network the cache and the table answer.

    Returns:
        The licence, or None when nobody knows it; and warnings.
    """
    by_name = license_from_name(base)
    found = license_from_metadata(_card_metadata(base), f"the card of {base}", base)
    if found is None or by_name is None or found.key == by_name.key:
        return found or by_name, []
    return found, [
        f"license: the card of {base} says {found.key}, but by its name it is a model under {by_name.title}; "
        "when that is so, its terms hold for what you publish"
    ]


def _card_metadata(base: str) -> dict[str, Any]:
    offline = stay_offline_without_network()
    import httpx
    import yaml
    from huggingface_hub import ModelCard, try_to_load_from_cache
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    cached = try_to_load_from_cache(base, "README.md")
    try:
        if isinstance(cached, str) and is_file(cached):
            card = ModelCard.load(cached, ignore_metadata_errors=True)
        elif offline:
            return {}
        else:
            card = ModelCard.load(base, ignore_metadata_errors=True)
    except (httpx.HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError, yaml.YAMLError):
        return {}  # behind a licence, gone, or not readable: the table answers
    return card.data.to_dict()
