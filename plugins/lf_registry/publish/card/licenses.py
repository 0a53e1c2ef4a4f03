"""The licence of a base model, and what it asks of a model that was trained from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import did_you_mean
from ...registry import read_yaml

TABLE = Path(__file__).with_name("licenses.yaml")


@dataclass(frozen=True)
class Terms:
    """What a licence asks.

    Attributes:
        title: its full name.
        link: its text, for those that have one place; empty otherwise.
        permissive: a derivative may be put under another licence.
        noncommercial: no commercial use.
        noderivatives: a changed model must not be shared.
        begins: how the name of a distributed derivative must begin; empty when the licence does not say.
        notices: texts that must stand beside a distributed derivative.
        unread: the table knows the licence's name only.
    """

    title: str = ""
    link: str = ""
    permissive: bool = False
    noncommercial: bool = False
    noderivatives: bool = False
    begins: str = ""
    notices: tuple[str, ...] = ()
    unread: bool = False


@dataclass(frozen=True)
class License:
    """A licence as a card's metadata says it.

    Attributes:
        id: the Hub's identifier.
        name: ``license_name``, for ``other``.
        link: ``license_link``, for ``other``.
        source: where it was found, for messages.
    """

    id: str
    name: str | None = None
    link: str | None = None
    source: str = ""

    @property
    def key(self) -> str:
        """What says which licence it is: the identifier, or the name of an ``other`` one."""
        return (self.name or "other").lower() if self.id == "other" else self.id

    @property
    def terms(self) -> Terms:
        """What it asks, as far as the table knows."""
        values = _table()["terms"].get(self.key, {})
        return Terms(**{key: tuple(value) if key == "notices" else value for key, value in values.items()})

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.terms.title or self.name or self.id

    def metadata(self) -> dict[str, str]:
        """The keys of a card's metadata."""
        keys = {"license": self.id, "license_name": self.name, "license_link": self.link}
        return {key: value for key, value in keys.items() if value}


@cache
def _table() -> dict[str, Any]:
    return read_yaml(TABLE)


def identifiers() -> frozenset[str]:
    """What the Hub takes as ``license:`` (its documentation, «Licenses»)."""
    return frozenset(_table()["identifiers"].split())


def license_from_metadata(values: dict[str, Any], source: str, repo: str | None = None) -> License | None:
    """The licence in a card's metadata; None when it says none, or ``unknown``, or ``other`` without a name.

    Args:
        values: the metadata.
        source: where they come from, for messages.
        repo: the repository that they belong to: a link to a file there becomes an address.
    """
    chosen = values.get("license")
    if isinstance(chosen, list):
        chosen = chosen[0] if len(chosen) == 1 else None
    if not isinstance(chosen, str) or chosen == "unknown":
        return None
    name, link = values.get("license_name"), values.get("license_link")
    if chosen != "other":
        return License(chosen, source=source)
    if not isinstance(name, str) or not name:
        return None
    if name.lower() in identifiers() - {"other", "unknown"}:
        return License(name.lower(), source=source)
    if repo and (not isinstance(link, str) or "://" not in link):
        link = f"https://huggingface.co/{repo}/blob/main/{link if isinstance(link, str) and link else 'LICENSE'}"
    return License("other", name, link if isinstance(link, str) else None, source)


def license_from_name(base: str) -> License | None:
    """The licence that the table has for a model's name."""
    owner, _, name = base.rpartition("/")
    for family in _table()["families"]:
        if re.search(family["name"], name, re.IGNORECASE) and family.get("owner", owner) == owner:
            known, source = family["license"], "the table of known base models"
            if known in identifiers():
                return License(known, source=source)
            return License("other", known, f"https://huggingface.co/{base}/blob/main/LICENSE", source)
    return None


def unknown_identifier(chosen: str) -> str | None:
    """Say what is wrong with a licence's identifier, or None."""
    if chosen in identifiers():
        return None
    known = did_you_mean(chosen, identifiers(), kind="identifiers")
    return (
        f"license: {chosen!r} is no licence identifier of the Hub, which refuses the card; {known}; "
        "any other licence is `license: other` with license_name and license_link"
    )


def contradiction(base: License, chosen: License) -> str | None:
    """Say why a model may not be published under ``chosen`` when its base model is under ``base``, or None."""
    if base.key == chosen.key or base.terms.permissive:
        return None
    why = f"the base model is under {base.title} ({base.source}), "
    if base.terms.noncommercial and base.id.startswith("cc-by-nc"):
        if "-nc" in chosen.id and "-sa" not in base.id:
            return None
        why += "which forbids commercial use; a licence that allows it cannot be given to what was made from it"
    else:
        why += "whose terms hold for every model made from it"
    same = f"`--license {base.id}`" if base.id != "other" else "no `--license` at all"
    return f"license: {chosen.key} contradicts the base model: {why}; publish with {same}, or leave the key out"


def wrong_name(terms: Terms, repo_id: str) -> str | None:
    """Say that the repository's name breaks the licence's rule for names, or None.

    Letter case and separators are free: ``llama3-x`` begins with ``Llama 3``.
    """
    name = repo_id.rpartition("/")[2]

    def bare(text: str) -> str:
        return re.sub(r"[-_. ]", "", text).lower()

    if not terms.begins or bare(name).startswith(bare(terms.begins)):
        return None
    begin = terms.begins.replace(" ", "-")
    return (
        f"{repo_id}: the {terms.title} asks that the name of a distributed model begins with {terms.begins!r}; "
        f"name it {repo_id.removesuffix(name)}{begin}-{name}"
    )
