"""Who publishes: the token's owner and rights, found out before anything is uploaded. The token is never shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .failures import TOKENS
from .retry import call

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LOG_IN = f"make a token with write access at {TOKENS}, then: hf auth login   (or set HF_TOKEN)"


@dataclass(frozen=True)
class Account:
    """The owner of the token.

    Attributes:
        name: the user's name.
        namespaces: where the user may have repositories: the name and the organizations.
        rights: the token's ``auth.accessToken``, without the token: ``role`` and what a fine-grained one allows.
    """

    name: str
    namespaces: tuple[str, ...]
    rights: dict[str, Any]


def find_token() -> str:
    """The token of ``HF_TOKEN`` or of ``hf auth login``.

    Raises:
        UserError: there is none, or it cannot be one: the client would show it in its error message.
    """
    from huggingface_hub import get_token

    token = get_token()
    if token is None:
        raise UserError("there is no Hugging Face token: HF_TOKEN is not set, and nobody is logged in", hint=_LOG_IN)
    if not re.fullmatch(r"[!-~]+", token):
        raise UserError(
            "the Hugging Face token holds characters that no token has, a space or a letter beyond ASCII: was more "
            "copied than the token? It stands in HF_TOKEN, or where `hf auth login` put it",
            hint="copy it again: hf auth login   (or set HF_TOKEN)",
        )
    return token


def read_account(api: HfApi) -> Account:
    """Ask the Hub whose token this is.

    Raises:
        UserError: the Hub does not answer, or does not know the token.
    """
    from huggingface_hub.errors import HfHubHTTPError

    try:
        answer = call("asking whose token this is", api.whoami)
    except HfHubHTTPError as error:
        if error.response.status_code not in (401, 403):
            raise
        raise UserError("the Hub does not accept this token: it is wrong, expired or revoked", hint=_LOG_IN) from None
    organizations = [entry["name"] for entry in answer.get("orgs") or []]
    rights = (answer.get("auth") or {}).get("accessToken") or {}
    return Account(answer["name"], (answer["name"], *organizations), rights)


def full_id(repo_id: str, account: Account) -> str:
    """The repository's id with its namespace, the user's own when it has none."""
    return repo_id if "/" in repo_id else f"{account.name}/{repo_id}"


def check_rights(repo_id: str, account: Account) -> None:
    """Check that the token may write into a repository, as far as the token itself says.

    Args:
        repo_id: with its namespace.
        account: whose token it is.

    Raises:
        UserError: it is a read token, or for other repositories only.
    """
    namespace = repo_id.partition("/")[0]
    if namespace.lower() not in {name.lower() for name in account.namespaces}:
        listed = ", ".join(account.namespaces)
        raise UserError(
            f"{repo_id}: this token is of {account.name}, who may publish under {listed}, not under {namespace!r}",
            hint=f"name {account.namespaces[0]}/{repo_id.partition('/')[2]}, or log in as a member: hf auth login",
        )
    role = account.rights.get("role")
    if role == "read":
        raise UserError(
            f"{repo_id}: this token may only read; publishing needs one that may write",
            hint=_LOG_IN,
        )
    if role == "fineGrained" and not _allowed(repo_id, namespace, account.rights.get("fineGrained") or {}):
        raise UserError(
            f"{repo_id}: this fine-grained token has no write access to repositories of {namespace}",
            hint=f"give it 'Write access to contents/settings of all repos' of {namespace} at {TOKENS}",
        )


def _allowed(repo_id: str, namespace: str, rights: dict[str, Any]) -> bool:
    """Whether a fine-grained token has ``repo.write`` for the namespace or for this repository."""
    for entry in rights.get("scoped") or []:
        entity = entry.get("entity") or {}
        named = str(entity.get("name", "")).lower() in (namespace.lower(), repo_id.lower())
        if named and "repo.write" in (entry.get("permissions") or []):
            return True
    return False
