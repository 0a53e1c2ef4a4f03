"""The gate all calls go through: it logs them and lets the faults happen. A bare ASGI layer around the app."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from typing import Any

from starlette.requests import ClientDisconnect

from .calls import Call
from .faults import Fault

KEPT = 64 * 1024


class Gate:
    def __init__(self, app: Any):
        self.app = app
        self.state: Any = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if b"Bearer " + self.state.xet.own_token.encode() in dict(scope["headers"]).values():
            return await self.app(scope, receive, send)  # the server's own reading is nobody's business
        passage = Passage(self.state, scope, receive, send)
        with contextlib.suppress(ClientDisconnect):
            await passage.go(self.app)


class Passage:
    """One call on its way."""

    def __init__(self, state: Any, scope: dict[str, Any], receive: Any, send: Any):
        self.scope, self.receive, self.send = scope, receive, send
        self.secrets = [token.encode() for token in state.tokens]
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        named = dict(headers)
        self.call = Call(
            len(state.calls),
            scope["method"],
            named.get("host", "").rpartition(":")[0],
            scope["path"],
            scope["query_string"].decode("latin-1"),
            named.get("authorization", ""),
        )
        self._look("headers", b"\n".join(name + b":" + value for name, value in scope["headers"]))
        self._look("address", scope.get("raw_path", b"") + b"?" + scope["query_string"])
        state.calls.append(self.call)
        self.rules = state.faults.strike(self.call)
        self.call.fault = ", ".join(map(str, self.rules))
        self.gone = False

    def _look(self, where: str, data: bytes) -> None:
        if any(secret in data for secret in self.secrets):
            self.call.token.add(where)

    def _rule(self, when: str) -> Fault | None:
        return next((rule for rule in self.rules if rule.when == when and (rule.reset or rule.status)), None)

    async def go(self, app: Any) -> None:
        for rule in self.rules:
            if rule.delay:
                await asyncio.sleep(rule.delay)
            if rule.run:
                rule.run(self.call)
        if rule := self._rule("before"):
            return await self._fail(rule, drain=True)
        await app(self.scope, self._receive, self._send)
        if (rule := self._rule("answer")) and not self.gone:
            await self._fail(rule, drain=False)

    async def _fail(self, rule: Fault, *, drain: bool) -> None:
        if rule.reset:
            return await self._reset()
        while drain and (await self._receive()).get("more_body"):
            pass
        body = json.dumps({"error": f"a fault of the test: {rule.status}"}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **(rule.headers or {})}
        self.call.status = rule.status
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": rule.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": b"" if self.call.method == "HEAD" else body})

    async def _receive(self) -> dict[str, Any]:
        if self.gone:
            return {"type": "http.disconnect"}
        message = await self.receive()
        if message["type"] != "http.request":
            return message
        chunk = message.get("body", b"")
        self.call.bytes_in += len(chunk)
        if len(self.call.body) < KEPT:
            self.call.body = (self.call.body + chunk)[:KEPT]
        self._look("body", chunk)
        for rule in self.rules:
            if rule.rate:
                await asyncio.sleep(len(chunk) / rule.rate)
        rule = self._rule("body")
        if rule and (self.call.bytes_in >= max(rule.at, 1) or not message.get("more_body")):
            await self._reset()
            return {"type": "http.disconnect"}
        return message

    async def _send(self, message: dict[str, Any]) -> None:
        if self.gone or self._rule("answer"):
            return  # nobody listens, or go() answers in its place
        if message["type"] == "http.response.start":
            self.call.status = message["status"]
        self.call.bytes_out += len(message.get("body", b""))
        await self.send(message)

    async def _reset(self) -> None:
        """End the connection with a reset (not in the orderly way), as a network that breaks down does."""
        self.gone = True
        transport = self.receive.__self__.transport  # uvicorn's; ASGI has no word for this
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
        await asyncio.sleep(0.01)  # lets uvicorn notice, which otherwise tries to answer
