"""Reading: the tree, some paths of it, and the files."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from .auth import readable, state_of
from .commits import pointer
from .errors import HubError
from .names import paged, parts_after
from .repos import MODEL
from .state import Commit, Entry

router = APIRouter()


def described(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "path": entry.path, "oid": entry.oid, "size": entry.size}
    if entry.lfs:
        size = len(pointer(entry.sha256, entry.size))
        found["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": size}
    if entry.xet_hash:
        found["xetHash"] = entry.xet_hash
    return found


def tree_of(commit: Commit, folder: str, recursive: bool) -> list[dict[str, Any]]:
    """The files and folders in a folder of a commit, sorted by path."""
    start = folder + "/" if folder else ""
    files = [entry for path, entry in commit.files.items() if path.startswith(start)]
    if not files and folder:
        raise HubError(404, f'"{folder}" does not exist on this revision', "EntryNotFound")
    folders = set()
    for entry in files:
        parts = entry.path[len(start) :].split("/")[:-1]
        folders |= {
            start + "/".join(parts[: depth + 1]) for depth in range(len(parts) if recursive else min(1, len(parts)))
        }
    found = [described(entry) for entry in files if recursive or "/" not in entry.path[len(start) :]]
    found += [
        {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}
        for path in folders
    ]
    return sorted(found, key=lambda entry: entry["path"])


@router.get(MODEL + "/tree/{rest:path}")
async def tree(request: Request):
    state, repo = state_of(request), readable(request)
    revision, *folder = parts_after(request, "tree")
    recursive = request.query_params.get("recursive", "").lower() in ("true", "1")
    entries = tree_of(repo.at(revision), "/".join(folder), recursive)
    return paged(request, entries, state.settings.page_size, state.endpoint)


@router.post(MODEL + "/paths-info/{rest:path}")
async def paths_info(request: Request):
    repo = readable(request)
    commit = repo.at("/".join(parts_after(request, "paths-info")))
    wanted = set((await request.form()).getlist("paths"))
    return [entry for entry in tree_of(commit, "", True) if entry["path"] in wanted]


@router.api_route("/{owner}/{name}/resolve/{rest:path}", methods=["GET", "HEAD"])
async def resolve(request: Request):
    state, repo = state_of(request), readable(request)
    revision, *path = parts_after(request, "resolve")
    commit = repo.at(revision)
    entry = commit.files.get("/".join(path))
    if entry is None:
        error = HubError(404, "Entry not found", "EntryNotFound")
        headers = {"X-Error-Code": "EntryNotFound", "X-Error-Message": error.message, "X-Repo-Commit": commit.id}
        return Response(status_code=404, headers=headers)
    headers = {"X-Repo-Commit": commit.id, "ETag": f'"{entry.oid}"'}
    if not entry.lfs:
        return FileResponse(state.store.path(entry.sha256), headers=headers, media_type="text/plain")
    headers |= {
        "Location": f"{state.storage}/storage/{entry.sha256}?signature=s",
        "X-Linked-ETag": f'"{entry.sha256}"',
        "X-Linked-Size": str(entry.size),
    }
    if entry.xet_hash:
        headers["X-Xet-Hash"] = entry.xet_hash
        refresh = f"{state.endpoint}/api/models/{repo.id}/xet-read-token/{commit.id}"
        headers["Link"] = f'<{refresh}>; rel="xet-auth"'
    return Response(status_code=302, headers=headers)
