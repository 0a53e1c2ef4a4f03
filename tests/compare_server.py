"""A small server with OpenAI's chat API, for the tests that ask one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

#: model, messages -> (the answer, why it ended)
Reply = Callable[[str, list[dict]], tuple[str, str]]


class Server(ThreadingHTTPServer):
    """Answers with ``reply``; remembers what it was asked."""

    daemon_threads = True

    def __init__(self, reply: Reply, models: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply, self.models = reply, models
        self.requests: list[dict] = []
        self.keys: list[str | None] = []
        #: Status codes that the next requests get instead of an answer.
        self.refuse: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        self._send(200, {"data": [{"id": name} for name in self.server.models]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers.get("Authorization"))
        if self.server.refuse:
            self._send(self.server.refuse.pop(0), {"error": {"message": "not now"}})
            return
        if body["model"] not in self.server.models:
            self._send(404, {"error": {"message": "no such model"}})
            return
        text, reason = self.server.reply(body["model"], body["messages"])
        if body.get("stream"):
            self.send_response(200)
            self.end_headers()
            for piece in ("", text[:2], text[2:]):
                chunk = {"choices": [{"delta": {"content": piece}, "finish_reason": None}]}
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")
            return
        self.server.requests.append(body)
        message = {"role": "assistant", "content": text}
        self._send(
            200,
            {
                "choices": [{"index": 0, "message": message, "finish_reason": reason}],
                "usage": {"completion_tokens": len(text)},
            },
        )

    def _send(self, status, value):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def chat_server():
    """Start servers; returns a function (reply, models) -> server."""
    running = []

    def start(reply: Reply, models: list[str]) -> Server:
        server = Server(reply, models)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()
