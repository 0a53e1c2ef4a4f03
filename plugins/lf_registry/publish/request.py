"""``lf-registry publish`` as it was asked for, and the mistakes that can be seen in the words alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import WrongUsage
from ..secret_text import BEGIN, SHAPES

_TOKEN = re.compile(f"{BEGIN}(?:{'|'.join(SHAPES.values())})")
#: Git's rules for names, as far as anyone would break them by accident.
_REF = re.compile(r"(?!/)(?!.*(?:\.\.|//|@\{|\.lock$|/$|\.$))[^\s~^:?*\[\\\x00-\x1f]+")


@dataclass(frozen=True)
class Request:
    """What to publish, and how.

    Attributes:
        folder: an adapter, a model, or a training's output.
        repo_id: ``name`` or ``namespace/name``.
        public: make the repository public in the end, or publish into one that is.
        recipe: the training recipe, when the folder does not hold one.
        revision: a branch; the main one when None.
        tag: a name for the commit.
        license: the licence's identifier, when the base model's is not known.
        checkpoints: also publish each ``checkpoint-N`` as a branch of that name.
        dry_run: only say what would go up.
        card_only: upload the card and nothing else.
        allow: places that the search for secrets and local paths found, and that are harmless: ``FILE:LINE``.
    """

    folder: Path
    repo_id: str
    public: bool = False
    recipe: str | None = None
    revision: str | None = None
    tag: str | None = None
    license: str | None = None
    checkpoints: bool = False
    dry_run: bool = False
    card_only: bool = False
    allow: tuple[str, ...] = ()


def check_repo_id(repo_id: str, argument: str) -> None:
    """Refuse a name that the Hub does not take.

    Args:
        repo_id: the name.
        argument: how the command line calls it.

    Raises:
        WrongUsage: with a name that it may have meant.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        raise WrongUsage(
            f"{argument}: {repo_id!r} cannot be a repository on the Hub: NAME or OWNER/NAME, of letters A to Z, "
            "digits and single - _ . (not first or last), 96 at most",
            hint=_likely(repo_id),
        ) from None


def check_request(request: Request) -> None:
    """Refuse what cannot be meant.

    Raises:
        WrongUsage: a token among the words, a name that the Hub does not take, options that exclude each other.
    """
    for word in (str(request.folder), request.repo_id, request.recipe, request.revision, request.tag, request.license):
        if word and is_token(word):
            raise refuse_token()
    check_repo_id(request.repo_id, "REPO_ID")
    for option, name in (("--revision", request.revision), ("--tag", request.tag)):
        if name is not None and not _REF.fullmatch(name):
            raise WrongUsage(
                f"{option}: {name!r} is no name that Git takes",
                hint=f"for example {option} {'v1.0' if option == '--tag' else 'experiment'}",
            )
    if request.card_only and request.checkpoints:
        raise WrongUsage("--card-only uploads the card alone; leave --checkpoints out")
    if request.card_only and request.tag:
        raise WrongUsage(
            "--card-only verifies the card alone, and a tag names what was verified; leave one of them out"
        )


def _likely(repo_id: str) -> str | None:
    """The id that was probably meant, of an address or a name with other characters."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    parts = re.sub(r"^https?://[^/]+/", "", repo_id.strip()).split("/")[:2]
    name = "/".join(
        re.sub(r"[-.]{2,}", "-", re.sub(r"[^\w.-]+", "-", part, flags=re.ASCII)).strip("-.") for part in parts
    )
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return f"did you mean {name}?"


def is_token(word: str) -> bool:
    """Whether a word of the command line holds an access token."""
    return _TOKEN.search(word) is not None


def refuse_token() -> WrongUsage:
    """Why a token is not taken as an argument. It is never repeated."""
    return WrongUsage(
        "a token does not belong on the command line: `ps`, the shell's history and experiment trackers show it. "
        "Revoke it at https://huggingface.co/settings/tokens, make a new one, then: hf auth login   (or set HF_TOKEN)"
    )
