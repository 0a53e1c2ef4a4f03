"""Repos: create, look at, settings, branches, tags."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from .auth import may, readable, signed_in, state_of, writable
from .errors import HubError, revision_not_found
from .names import parts_after
from .state import Repo

router = APIRouter()
MODEL = "/api/models/{owner}/{name}"


@router.post("/api/repos/create")
async def create(request: Request):
    state, token = state_of(request), signed_in(request)
    if token is None:
        raise HubError(401, "Invalid username or password.")
    wanted = await request.json()
    if wanted.get("type") not in (None, "model"):
        raise HubError(400, "this Hub keeps models only")
    owner = wanted.get("organization") or token.user
    repo_id = f"{owner}/{wanted['name']}"
    url = f"{state.endpoint}/{repo_id}"
    if not may(state, token, repo_id, "write"):
        raise HubError(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
    if repo_id in state.repos:
        raise HubError(409, "You already created this model repo", url=url)
    state.create(repo_id, private=wanted.get("visibility") == "private", author=token.user)
    return {"url": url, "name": repo_id, "id": repo_id}


@router.delete("/api/repos/delete")
async def delete(request: Request):
    state, token = state_of(request), signed_in(request)
    wanted = await request.json()
    repo_id = f"{wanted.get('organization') or (token and token.user)}/{wanted['name']}"
    if not may(state, token, repo_id, "write"):
        raise HubError(403, "Forbidden")
    if state.repos.pop(repo_id, None) is None:
        raise HubError(404, "Repository not found", "RepoNotFound")
    return {}


def described(repo: Repo, revision: str) -> dict[str, Any]:
    commit = repo.at(revision)
    return {
        "_id": commit.id[:24],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.id.split("/")[0],
        "sha": commit.id,
        "lastModified": commit.date,
        "createdAt": next(iter(repo.commits.values())).date,
        "private": repo.private,
        "disabled": False,
        "gated": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": path} for path in sorted(commit.files)],
    }


@router.get(MODEL)
async def info(request: Request):
    return described(readable(request), "main")


@router.get(MODEL + "/revision/{rest:path}")
async def info_at(request: Request):
    return described(readable(request), "/".join(parts_after(request, "revision")))


@router.put(MODEL + "/settings")
async def settings(request: Request):
    repo, wanted = writable(request), await request.json()
    visibility = wanted.get("visibility") or {True: "private", False: "public", None: None}[wanted.get("private")]
    if visibility not in (None, "private", "public"):
        raise HubError(400, f"visibility: {json.dumps(visibility)} is not possible")
    if visibility:
        repo.private = visibility == "private"
    return {"private": repo.private, "visibility": "private" if repo.private else "public"}


@router.get(MODEL + "/refs")
async def refs(request: Request):
    repo = readable(request)
    return {
        "branches": [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
            for name, commit in repo.branches.items()
        ],
        "converts": [],
        "tags": [
            {"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit} for name, commit in repo.tags.items()
        ],
    }


@router.post(MODEL + "/branch/{rest:path}")
async def new_branch(request: Request):
    repo, name = writable(request), "/".join(parts_after(request, "branch"))
    wanted = await request.json()
    start = repo.at(wanted.get("startingPoint") or "main")
    if name in repo.branches:
        raise HubError(409, f"Reference already exists: refs/heads/{name}")
    repo.branches[name] = start.id
    return JSONResponse({}, 201)


@router.delete(MODEL + "/branch/{rest:path}")
async def drop_branch(request: Request):
    repo, name = writable(request), "/".join(parts_after(request, "branch"))
    if name == "main":
        raise HubError(403, "Cannot delete the main branch")
    if repo.branches.pop(name, None) is None:
        raise revision_not_found(name)
    return {}


@router.post(MODEL + "/tag/{rest:path}")
async def new_tag(request: Request):
    repo, wanted = writable(request), await request.json()
    commit = repo.at("/".join(parts_after(request, "tag")))
    if wanted["tag"] in repo.tags:
        raise HubError(409, f"Tag reference exists already: {wanted['tag']}")
    repo.tags[wanted["tag"]] = commit.id
    return {}


@router.delete(MODEL + "/tag/{rest:path}")
async def drop_tag(request: Request):
    repo, name = writable(request), "/".join(parts_after(request, "tag"))
    if repo.tags.pop(name, None) is None:
        raise revision_not_found(name)
    return {}
