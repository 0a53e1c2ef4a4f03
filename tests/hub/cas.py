"""The CAS server of Xet, at the storage's address: xorbs in, shards in, and how a file is put together again.

Source of the calls: https://huggingface.co/docs/xet/api and the README of the crate ``xet-client`` (upload grants).
"""

from __future__ import annotations

import re
import secrets

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from .auth import state_of
from .errors import HubError
from .lfs import received, signed
from .xet import Xet
from .xet_formats import chunk_offsets, files_of

router = APIRouter()


def allowed(request: Request, rights: str) -> Xet:
    """The CAS server takes the tokens that the Hub gave out for it, and no other."""
    xet = state_of(request).xet
    held = xet.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
    if held is None:
        raise HubError(401, "no valid token")
    if rights == "write" and held != "write":
        raise HubError(403, "the token may only read")
    return xet


@router.get("/v1/chunks/{prefix}/{name}")
async def chunk(request: Request):
    allowed(request, "read")
    raise HubError(404, "not known")


@router.post("/v1/telemetry")
async def telemetry(request: Request):
    return {}


@router.post("/v1/xorb-grants/{prefix}/{name}")
async def grant(request: Request, name: str):
    """Where to send a xorb; 200 when it is there already."""
    xet, length = allowed(request, "write"), (await request.json())["length"]
    if name in xet.offsets:
        return {"was_inserted": False}
    identity = secrets.token_hex(8)
    xet.granted[identity] = length
    url = f"{xet.state.storage}/xorb-upload/{identity}?signature=s"
    return JSONResponse({"id": identity, "method": "PUT", "url": url, "headers": {}}, 201)


@router.put("/xorb-upload/{identity}")
async def upload(request: Request, identity: str):
    state = signed(request)
    path = (await received(request, state))[0]
    if path.stat().st_size != state.xet.granted[identity]:
        raise HubError(400, "the length is not the one that was granted")
    state.xet.uploaded[identity] = path
    return Response()


@router.post("/v1/xorb-commits/{prefix}/{name}/grant/{identity}")
async def commit(request: Request, name: str, identity: str):
    xet = allowed(request, "write")
    path = xet.uploaded.pop(identity, None)
    if path is None:
        raise HubError(404, "nothing was uploaded for this grant")
    xet.offsets[name] = chunk_offsets(path.read_bytes())
    path.replace(xet.folder / name)
    return {"was_inserted": True}


@router.post("/v2/shards")
async def shards(request: Request):
    xet, shard = allowed(request, "write"), await request.body()
    missing = {term.xorb for file in files_of(shard) for term in file.terms} - xet.offsets.keys()
    if missing:
        raise HubError(400, f"the shard names xorbs that were not uploaded: {sorted(missing)}")
    xet.register(shard)
    return Response('{"type":"result"}\n', media_type="application/x-ndjson")


@router.get("/v1/reconstructions/{name}")
async def reconstruction(request: Request, name: str):
    """The pieces of a file, or of the wanted range of it, and where their bytes are."""
    xet = allowed(request, "read")
    file = xet.files.get(name)
    if file is None:
        raise HubError(404, "no such file")
    wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
    first, last = (int(wanted[1]), int(wanted[2])) if wanted else (0, file.size)
    if first >= file.size:
        raise HubError(416, "the range begins after the end of the file")
    terms, fetch, skipped, place = [], {}, None, 0
    for term in file.terms:
        begin, place = place, place + term.size
        if place <= first or begin > last:
            continue
        skipped = first - begin if skipped is None else skipped
        span = {"start": term.begin, "end": term.end}
        terms.append({"hash": term.xorb, "unpacked_length": term.size, "range": span})
        offsets = xet.offsets[term.xorb]
        place_of = {
            "range": span,
            "url": f"{xet.state.storage}/xorb/{term.xorb}?signature=s",
            "url_range": {"start": offsets[term.begin], "end": offsets[term.end] - 1},
        }
        if place_of not in fetch.setdefault(term.xorb, []):
            fetch[term.xorb].append(place_of)
    return {"offset_into_first_range": skipped or 0, "terms": terms, "fetch_info": fetch}


@router.get("/xorb/{name}")
async def xorb(request: Request, name: str):
    return FileResponse(signed(request).xet.folder / name)
