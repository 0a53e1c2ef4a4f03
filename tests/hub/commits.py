"""Writing: validate-yaml, preupload, commit; and the list of commits."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from . import card_rules
from .auth import readable, signed_in, state_of, writable
from .errors import HubError
from .names import paged, parts_after
from .repos import MODEL
from .state import Commit, Entry, Repo, State

router = APIRouter()

#: Endings of files that the Hub never stores in git itself.
LARGE = (".bin", ".safetensors", ".pt", ".pth", ".gguf", ".onnx", ".model", ".npz", ".parquet", ".zip", ".gz")
GIT_LIMIT = 10 * 1024 * 1024


@router.post("/api/validate-yaml")
async def validate_yaml(request: Request):
    wanted = await request.json()
    errors, warnings = card_rules.check(wanted["content"])
    body = {"errors": [{"message": m} for m in errors], "warnings": [{"message": m} for m in warnings]}
    return JSONResponse(body, 400 if errors else 200)


def is_large(state: State, path: str, size: int, sample: bytes) -> bool:
    return path.endswith(LARGE) or size >= state.settings.large_file or b"\0" in sample


@router.post(MODEL + "/preupload/{rest:path}")
async def preupload(request: Request):
    state, repo = state_of(request), writable(request)
    there = repo.at("/".join(parts_after(request, "preupload"))).files
    answers = []
    for file in (await request.json())["files"]:
        large = is_large(state, file["path"], file["size"], base64.b64decode(file["sample"]))
        answer = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if stored := there.get(file["path"]):
            answer["oid"] = stored.sha256 if stored.lfs else stored.oid
        answers.append(answer)
    return {"files": answers}


def pointer(sha256: str, size: int) -> bytes:
    """What git itself stores of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def large_entry(state: State, repo: Repo, value: dict[str, Any]) -> Entry:
    sha256 = value["oid"]
    xet_hash = state.xet.hash_of(sha256)
    if sha256 not in repo.objects and xet_hash is None:
        raise HubError(400, f"LFS pointer pointed to a file that does not exist ({value['path']})")
    path = state.store.path(sha256)
    size = path.stat().st_size if path.exists() else value.get("size")
    if value.get("size") not in (None, size):
        raise HubError(400, f"the size of {value['path']} is {size}, not {value['size']}")
    content = pointer(sha256, size)
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return Entry(value["path"], size, sha256, oid, lfs=True, xet_hash=xet_hash)


def applied(state: State, repo: Repo, files: dict[str, Entry], lines: list[dict[str, Any]]) -> dict[str, Entry]:
    """The files after a commit's operations."""
    files = dict(files)
    for line in lines:
        kind, value = line["key"], line["value"]
        path = value["path"]
        if kind == "file":
            content = base64.b64decode(value["content"])
            if len(content) > GIT_LIMIT:
                raise HubError(400, f"{path} is larger than 10 MiB: use LFS or Xet")
            if path == "README.md" and (errors := card_rules.check(content.decode("utf-8"))[0]):
                raise HubError(400, "Invalid metadata in README.md: " + "; ".join(errors))
            files[path] = state.regular(path, content)
        elif kind == "lfsFile":
            files[path] = large_entry(state, repo, value)
        elif kind == "deletedFile":
            if files.pop(path, None) is None:
                raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        elif kind == "deletedFolder":
            files = {name: entry for name, entry in files.items() if not name.startswith(path.rstrip("/") + "/")}
        else:
            raise HubError(400, f"unknown operation {kind}")
    return files


@router.post(MODEL + "/commit/{rest:path}")
async def commit(request: Request):
    state, repo = state_of(request), writable(request)
    branch = "/".join(parts_after(request, "commit"))
    lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
    header = lines[0]["value"]
    head = repo.at(branch)
    if branch not in repo.branches:
        raise HubError(400, f"{branch} is no branch: only branches take commits")
    if header.get("parentCommit") not in (None, head.id):
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    files = applied(state, repo, head.files, lines[1:])
    token = signed_in(request)
    made = repo.commit(branch, header["summary"], token.user, files, header.get("description", ""))
    url = f"{state.endpoint}/{repo.id}/commit/{made.id}"
    return {"success": True, "commitOid": made.id, "commitUrl": url, "hookOutput": ""}


def listed(commit: Commit) -> dict[str, Any]:
    return {
        "id": commit.id,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": commit.author}],
        "date": commit.date,
    }


@router.get(MODEL + "/commits/{rest:path}")
async def history(request: Request):
    state, repo = state_of(request), readable(request)
    entries = [listed(commit) for commit in repo.history("/".join(parts_after(request, "commits")))]
    return paged(request, entries, state.settings.page_size, state.endpoint)
