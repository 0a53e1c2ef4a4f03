"""Where a model's config.json comes from: a folder, our copy, the Hub's cache, or the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..network import stay_offline_without_network
from .read_shape import read_shape
from .shapes import Shape

#: Only the keys that matter, one file a model: ``<organization>--<name>.json``.
BUNDLED = Path(__file__).with_name("configs")


def bundled_models() -> list[str]:
    """The models whose config.json need not be downloaded."""
    return sorted(path.stem.replace("--", "/", 1) for path in BUNDLED.glob("*.json"))


def load_shape(model: str, *, revision: str | None = None, cache_dir: str | None = None) -> Shape:
    """Find a model's config.json and read its shape.

    Args:
        model: ``model_name_or_path`` of a recipe: a folder, or an id on the Hugging Face Hub.
        revision: ``model_revision``; ``main`` when left out. Our copies are of ``main``.
        cache_dir: ``cache_dir`` of the recipe.

    Raises:
        UserError: it is neither a folder with a config.json nor a model that can be found, or its config.json lacks
            something.
    """
    path = find_config(model, revision=revision, cache_dir=cache_dir)
    return read_shape(read_config(path), model if path.parent == BUNDLED else str(path))


def find_config(model: str, *, revision: str | None = None, cache_dir: str | None = None) -> Path:
    """Find (or download) a model's config.json. Raises: UserError."""
    folder = Path(model)
    bundled = BUNDLED / f"{model.replace('/', '--', 1)}.json"
    try:
        folder = folder.expanduser()
        there, known = folder.is_dir(), bundled.is_file()
    except (OSError, RuntimeError):  # a name that is too long, or the home of nobody
        there, known = False, False
    if there:
        if not (folder / "config.json").is_file():
            raise UserError(
                f"model_name_or_path: {model} has no config.json, so the model's size is unknown",
                hint="name the folder of a whole model; for an adapter, put it into adapter_name_or_path",
            )
        return folder / "config.json"
    if known and revision in (None, "main"):
        return bundled
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise UserError(
            f"model_name_or_path: the folder {model} does not exist",
            hint="train or download the model first, or give model_name_or_path=HUB_ID of the model it comes from",
        )
    return _from_hub(model, revision, cache_dir)


def _from_hub(model: str, revision: str | None, cache_dir: str | None) -> Path:
    """Take config.json from the cache, else download that one file of about a kilobyte."""
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    hint = (
        f"hf download {model} config.json    (where there is a network; `hf auth login` first, if it is behind a "
        "licence), or name a folder that has its config.json"
    )
    offline = constants.HF_HUB_OFFLINE
    try:
        cached = try_to_load_from_cache(model, "config.json", cache_dir=cache_dir, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
        # Asked once, instead of huggingface_hub's half minute of retries; only here, where the Hub is needed.
        here = offline or stay_offline_without_network()
        return Path(
            hf_hub_download(model, "config.json", revision=revision, cache_dir=cache_dir, local_files_only=here)
        )
    except HFValidationError:
        reason = "is neither a folder nor an id on the Hugging Face Hub (organization/name)"
    except HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        reason = {
            401: "is not on the Hugging Face Hub, or needs a login",
            403: "is behind a licence that was not accepted yet",
            404: "is not on the Hugging Face Hub, or has no config.json",
        }.get(status, f"could not be read from the Hugging Face Hub ({type(error).__name__})")
    except (OSError, ValueError, TypeError) as error:
        cause = "" if isinstance(error, LocalEntryNotFoundError) else f" ({type(error).__name__})"
        why = "HF_HUB_OFFLINE is set" if offline else f"the Hub cannot be reached{cause}"
        reason = f"is not in the Hub's cache here, and {why}"
    raise UserError(f"model_name_or_path: {model} {reason}", hint=hint)


def read_config(path: Path) -> dict[str, Any]:
    """Read one config.json. Raises: UserError: it is not JSON, or not an object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: must hold an object, holds {type(value).__name__}")
    return value
