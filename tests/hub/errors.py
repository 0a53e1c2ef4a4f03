"""Errors as the Hub words them: a status, ``X-Error-Code`` where the client looks at it, and a JSON body."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse


class HubError(Exception):
    """An answer that is an error.

    Attributes:
        status: HTTP status.
        message: goes into the body and into ``X-Error-Message``.
        code: ``X-Error-Code``: ``RepoNotFound``, ``RevisionNotFound``, ``EntryNotFound`` or None.
        extra: further keys of the body.
    """

    def __init__(self, status: int, message: str, code: str | None = None, **extra: Any):
        super().__init__(message)
        self.status, self.message, self.code, self.extra = status, message, code, extra


def answer(error: HubError) -> JSONResponse:
    headers = {"X-Error-Message": error.message.splitlines()[0] if error.message.isascii() else "Error"}
    if error.code:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": error.message, **error.extra}, error.status, headers)


async def handle(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HubError)
    return answer(error)


def repo_not_found(signed_in: bool) -> HubError:
    """What the Hub says about a repo that does not exist, and about one that the token may not see: the same."""
    if signed_in:
        return HubError(404, "Repository not found", "RepoNotFound")
    return HubError(401, "Invalid username or password.", "RepoNotFound")


def revision_not_found(revision: str) -> HubError:
    return HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
