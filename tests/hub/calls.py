"""The log of all calls."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Call:
    """One request, as the server saw it.

    Attributes:
        number: its place among all calls, from 0.
        method: HTTP method.
        host: the name it was sent to, without the port: ``127.0.0.1`` (the Hub) or ``localhost`` (the storage).
        path: without the query.
        query: the rest of the address.
        authorization: the header, or "".
        token: where a Hub token was seen in it: ``headers``, ``address``, ``body``.
        body: its first 64 KiB.
        bytes_in: bytes of its body that arrived.
        bytes_out: bytes of the answer's body.
        status: of the answer; None when there was none.
        fault: what was done to it, or "".
    """

    number: int
    method: str
    host: str
    path: str
    query: str = ""
    authorization: str = ""
    token: set[str] = field(default_factory=set)
    body: bytes = b""
    bytes_in: int = 0
    bytes_out: int = 0
    status: int | None = None
    fault: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.host}{self.path} in={self.bytes_in} status={self.status} {self.fault}".rstrip()
