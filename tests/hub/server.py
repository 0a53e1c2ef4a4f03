"""The server in a thread of the test process, and the handle that a test holds."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI

import forked

from . import auth, cas, commits, errors, files, lfs, repos, xet
from .auth import Token, fake_token
from .gate import Gate
from .state import Repo, State

Mode = Literal["xet", "lfs"]
USER, ORGANIZATION, READ_ONLY_ORGANIZATION = "tester", "lab", "watchers"


class Server:
    """One server for all tests of a process; each test gets a state of its own."""

    def __init__(self):
        self.app = FastAPI()
        self.app.add_exception_handler(errors.HubError, errors.handle)
        for part in (auth, repos, commits, files, lfs, xet, cas):
            self.app.include_router(part.router)
        self.gate = Gate(self.app)
        # With its protocol named, asyncio sends small answers at once (TCP_NODELAY) instead of 40 ms later.
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        config = uvicorn.Config(self.gate, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1)
        self.uvicorn = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.uvicorn.run, args=([self.socket],), daemon=True)

    def start(self) -> Server:
        self.socket.listen(128)  # a client that comes early waits
        self.thread.start()
        return self

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join(timeout=10)
        self.socket.close()

    def fresh(self, folder: Path) -> Hub:
        """Forget everything and begin anew; files go into ``folder``."""
        state = State(folder, self.port)
        state.xet = xet.Xet(state)
        state.store.read_back = state.xet.read_back
        self.app.state.hub = self.gate.state = state
        return Hub(state)


class Hub:
    """What a test sees of the Hub.

    Attributes:
        endpoint: the Hub's address; ``storage`` is that of the second host.
        faults: rules of what goes wrong, see ``faults.Faults``.
        calls: all calls so far, see ``calls.Call``.
        settings: see ``state.Settings``.
        token: a token of ``tester`` that may write to ``tester`` and ``lab``, and read ``watchers``.
    """

    def __init__(self, state: State):
        self.state = state
        self.endpoint, self.storage = state.endpoint, state.storage
        self.faults, self.calls, self.settings = state.faults, state.calls, state.settings
        state.users[USER] = {ORGANIZATION: "write", READ_ONLY_ORGANIZATION: "read"}
        state.users["stranger"] = {}
        self.token = self.new_token("write")

    def new_token(self, role: str, *, user: str = USER, scoped: tuple[dict[str, Any], ...] = (), expired: bool = False):
        """A token: ``read``, ``write``, or ``fineGrained`` with ``scoped`` (see ``auth.scope``)."""
        value = fake_token(f"{user} {role} {scoped} {expired}")
        self.state.tokens[value] = Token(value, user, role, scoped, expired)
        return value

    def repo(self, repo_id: str) -> Repo:
        return self.state.repos[repo_id]

    def env(self, mode: Mode = "xet", token: str | None = "") -> dict[str, str]:
        """The environment of a client: this one's, at this Hub. ``token``: None for none, "" for ``self.token``."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        env |= {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(self.state.folder / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        if mode == "lfs":
            env["HF_HUB_DISABLE_XET"] = "1"
        if token is not None:
            env["HF_TOKEN"] = token or self.token
        return env

    def start(self, code: str, *arguments: object, mode: Mode = "xet", token: str | None = "", **env: str):
        """Start ``code`` in a process of its own, with ``api`` (an ``HfApi``) and ``args`` at hand."""
        begin = "import sys; from huggingface_hub import HfApi; api, args = HfApi(), sys.argv[1:]\n"
        return forked.start(begin + code, *arguments, env=self.env(mode, token) | env)

    def run(self, code: str, *arguments: object, mode: Mode = "xet", token: str | None = "", **env: str):
        """The same; waits, and returns the finished process."""
        process = self.start(code, *arguments, mode=mode, token=token, **env)
        output = process.communicate(timeout=300)
        return subprocess.CompletedProcess(code, process.returncode, *output)

    def to_storage(self) -> list:
        """The calls that went to the second host."""
        return [call for call in self.calls if call.host == "localhost"]

    def leaks(self) -> list:
        """The calls that carried a token where none may be: to the second host, in an address, in a body."""
        return [call for call in self.calls if call.token - {"headers"} or (call.token and call.host != "127.0.0.1")]
