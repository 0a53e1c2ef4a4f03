"""Git LFS: the batch call on the Hub, and the storage behind the signed addresses."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from .auth import state_of, writable
from .errors import HubError
from .state import State

router = APIRouter()
GIT = "/{owner}/{name}.git/info/lfs"


@router.post(GIT + "/objects/batch")
async def batch(request: Request):
    state, repo = state_of(request), writable(request)
    wanted = await request.json()
    chunk, objects, multipart = state.settings.chunk_size, [], False
    for item in wanted["objects"]:
        oid, size = item["oid"], item["size"]
        if oid in repo.objects:
            objects.append({"oid": oid, "size": size})
            continue
        verify = {"href": f"{state.endpoint}/{repo.id}.git/info/lfs/verify", "header": {}}
        if chunk and size > chunk:
            multipart, upload = True, secrets.token_hex(8)
            state.parts[upload] = {}
            count = -(-size // chunk)
            header = {str(n): f"{state.storage}/storage-part/{upload}/{n}?signature=s" for n in range(1, count + 1)}
            header["chunk_size"] = str(chunk)
            href = f"{state.endpoint}/api/complete-multipart/{repo.id}/{upload}/{oid}?signature=s"
            actions = {"upload": {"href": href, "header": header}, "verify": verify}
        else:
            href = f"{state.storage}/storage/{repo.id}/{oid}?signature=s"
            actions = {"upload": {"href": href, "header": {}}, "verify": verify}
        objects.append({"oid": oid, "size": size, "actions": actions})
    return {"transfer": "multipart" if multipart else "basic", "objects": objects}


@router.post(GIT + "/verify")
async def verify(request: Request):
    state, repo = state_of(request), writable(request)
    wanted = await request.json()
    path = state.store.path(wanted["oid"])
    if wanted["oid"] not in repo.objects or path.stat().st_size != wanted["size"]:
        raise HubError(404, "the uploaded object is not there, or its size differs")
    return {}


def signed(request: Request) -> State:
    """The storage takes the signature in the address and, like the real one, refuses a second way to sign."""
    if request.headers.get("authorization"):
        raise HubError(400, "only one way to authenticate is allowed")
    if request.query_params.get("signature") != "s":
        raise HubError(403, "no signature")
    return state_of(request)


async def received(request: Request, state: State, algorithm: str = "") -> tuple[Path, str]:
    """Write a body to disk; nothing stays when it breaks off. Returns the file and its hash."""
    path, digest = state.store.partial(), hashlib.new(algorithm) if algorithm else None
    try:
        with path.open("wb") as file:
            async for chunk in request.stream():
                file.write(chunk)
                if digest:
                    digest.update(chunk)
        declared = request.headers.get("content-length")
        if declared and int(declared) != path.stat().st_size:
            raise HubError(400, "the body is shorter than announced")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path, digest.hexdigest() if digest else ""


@router.put("/storage/{owner}/{name}/{oid}")
async def put(request: Request, owner: str, name: str, oid: str):
    state = signed(request)
    path, sha256 = await received(request, state, "sha256")
    if sha256 != oid:
        path.unlink()
        raise HubError(400, "the content does not have the announced SHA-256")
    path.replace(state.store.path(oid))
    state.repos[f"{owner}/{name}"].objects.add(oid)
    return Response(headers={"ETag": f'"{sha256}"'})


@router.put("/storage-part/{upload}/{number}")
async def put_part(request: Request, upload: str, number: int):
    state = signed(request)
    path, md5 = await received(request, state, "md5")
    state.parts[upload][number] = path
    return Response(headers={"ETag": f'"{md5}"'})


@router.post("/api/complete-multipart/{owner}/{name}/{upload}/{oid}")
async def complete(request: Request, owner: str, name: str, upload: str, oid: str):
    state, wanted = state_of(request), await request.json()
    parts = state.parts[upload]
    whole, sha256 = state.store.partial(), hashlib.sha256()
    with whole.open("wb") as file:
        for part in wanted["parts"]:
            content = parts[part["partNumber"]].read_bytes()
            if part["etag"] != f'"{hashlib.md5(content).hexdigest()}"':
                raise HubError(400, f"part {part['partNumber']} has another ETag")
            sha256.update(content)
            file.write(content)
    if sha256.hexdigest() != oid:
        whole.unlink()
        raise HubError(400, "the parts together do not have the announced SHA-256")
    whole.replace(state.store.path(oid))
    for path in state.parts.pop(upload).values():
        path.unlink(missing_ok=True)
    state.repos[f"{owner}/{name}"].objects.add(oid)
    return {}


@router.api_route("/storage/{oid}", methods=["GET", "HEAD"])
async def get(request: Request, oid: str):
    state = signed(request)
    path = state.store.path(oid)
    if not path.exists():
        await asyncio.to_thread(state.store.read_back, oid)  # calls this server
    return FileResponse(path, headers={"ETag": f'"{oid}"'}, media_type="application/octet-stream")
