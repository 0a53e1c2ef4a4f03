"""Addresses, in which a branch ``a/b`` is one part (its slash is percent-encoded), and pages of lists."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlencode

from fastapi import Request
from fastapi.responses import JSONResponse


def parts_after(request: Request, word: str) -> list[str]:
    """The decoded parts of an address after ``/{owner}/{name}/word``. Reads it as sent: decoding joins parts."""
    parts = request.scope["raw_path"].decode("ascii").split("?")[0].split("/")
    name = request.path_params["name"]
    here = next(i for i in range(1, len(parts)) if parts[i] == word and unquote(parts[i - 1]) == name)
    return [unquote(part) for part in parts[here + 1 :] if part]


def paged(request: Request, entries: list[dict[str, Any]], size: int, endpoint: str) -> JSONResponse:
    """A part of a list, with the address of the next one in ``Link``."""
    begin = int(request.query_params.get("cursor", 0))
    headers = {}
    if begin + size < len(entries):
        query = urlencode(
            [*((k, v) for k, v in request.query_params.multi_items() if k != "cursor"), ("cursor", begin + size)]
        )
        headers["Link"] = f'<{endpoint}{request.scope["raw_path"].decode("ascii")}?{query}>; rel="next"'
    return JSONResponse(entries[begin : begin + size], headers=headers)
