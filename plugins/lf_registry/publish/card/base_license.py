"""Under which licence the base model is."""

from __future__ import annotations

from typing import Any

from ...files import is_file
from ...network import stay_offline_without_network
from .licenses import License, license_from_metadata, license_from_name


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
