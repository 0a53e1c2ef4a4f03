"""Accounts, tokens and what they may do; ``whoami`` and ``auth-check``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request

from .errors import HubError, repo_not_found
from .state import Repo, State

router = APIRouter()

#: Roles in an organization that may write to its repos.
WRITERS = {"admin", "write", "contributor"}


@dataclass(frozen=True)
class Token:
    """An access token.

    Attributes:
        value: the token.
        user: whose it is.
        role: ``read``, ``write`` or ``fineGrained``.
        scoped: of a fine-grained one, as ``whoami`` shows it: a user, an organization or a model, and permissions.
        expired: it is refused everywhere.
    """

    value: str
    user: str
    role: str
    scoped: tuple[dict[str, Any], ...] = ()
    expired: bool = False


def fake_token(name: str) -> str:
    """A string of a token's shape that is nobody's."""
    letters = hashlib.sha256(name.encode()).hexdigest().translate(str.maketrans("0123456789", "ghijklmnop"))
    return "hf_" + (letters * 2)[:34]


def scope(kind: str, name: str, *permissions: str) -> dict[str, Any]:
    """One entry of a fine-grained token's ``scoped``: ``scope("user", "tester", "repo.write")``."""
    identity = hashlib.sha1(name.encode()).hexdigest()[:24]
    return {"entity": {"_id": identity, "type": kind, "name": name}, "permissions": list(permissions)}


def state_of(request: Request) -> State:
    return request.app.state.hub


def signed_in(request: Request) -> Token | None:
    """The token of a call; None without one. One that is unknown or expired is refused whatever was asked."""
    header = request.headers.get("authorization", "")
    if not header:
        return None
    token = state_of(request).tokens.get(header.removeprefix("Bearer "))
    if token is None:
        raise HubError(401, "Invalid credentials in Authorization header")
    if token.expired:
        raise HubError(401, f'User Access Token "{token.role}" is expired')
    return token


def may(state: State, token: Token | None, repo_id: str, action: str) -> bool:
    """Whether a token may ``read`` (a private repo) or ``write`` one."""
    if token is None:
        return False
    namespace = repo_id.partition("/")[0]
    if token.role == "fineGrained":
        wanted = {"repo.write"} if action == "write" else {"repo.write", "repo.content.read"}
        return any(
            entry["entity"]["name"] in (namespace, repo_id) and wanted & set(entry["permissions"])
            for entry in token.scoped
        )
    role = "admin" if namespace == token.user else state.users[token.user].get(namespace)
    return role is not None and (action == "read" or (token.role == "write" and role in WRITERS))


def readable(request: Request) -> Repo:
    """The repo of a call's address, if its token may read it."""
    state, token = state_of(request), signed_in(request)
    parameters = request.path_params
    repo_id = f"{parameters['owner']}/{parameters['name']}"
    repo = state.repos.get(repo_id)
    if repo is None or (repo.private and not may(state, token, repo_id, "read")):
        raise repo_not_found(token is not None)
    return repo


def writable(request: Request) -> Repo:
    """The repo of a call's address, if its token may write to it."""
    repo, token = readable(request), signed_in(request)
    if token is None:
        raise HubError(401, "Invalid username or password.")
    if not may(state_of(request), token, repo.id, "write"):
        raise HubError(403, f"Forbidden: you must use a write token to upload to a repository ({repo.id})")
    return repo


@router.get("/api/whoami-v2")
async def whoami(request: Request):
    token = signed_in(request)
    if token is None:
        raise HubError(401, "Invalid username or password.")
    access: dict[str, Any] = {"displayName": token.role, "role": token.role, "createdAt": "2026-01-01T00:00:00.000Z"}
    if token.role == "fineGrained":
        access["fineGrained"] = {"canReadGatedRepos": True, "global": [], "scoped": list(token.scoped)}
    orgs = state_of(request).users[token.user].items()
    return {
        "type": "user",
        "name": token.user,
        "fullname": token.user,
        "orgs": [{"type": "org", "name": org, "fullname": org, "roleInOrg": role} for org, role in orgs],
        "auth": {"type": "access_token", "accessToken": access},
    }


@router.get("/api/models/{owner}/{name}/auth-check")
async def read_check(request: Request):
    readable(request)
    return {}


@router.get("/api/models/{owner}/{name}/auth-check/write")
async def write_check(request: Request):
    writable(request)
    return {}
