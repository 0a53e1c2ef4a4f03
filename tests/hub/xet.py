"""Xet on the Hub's side: the tokens for the CAS server, and what is stored there under which SHA-256."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from .auth import readable, state_of, writable
from .repos import MODEL
from .state import State
from .xet_formats import XetFile, files_of

router = APIRouter()

#: The server reads a file back with the real client, which knows how chunks are packed, in a process of its own.
READ_BACK = """
import sys, hf_xet
endpoint, token, name, size, path = sys.argv[1:]
signed = {} if endpoint.startswith("local:") else {"token": token, "token_expiry_unix_secs": 1 << 40}
with hf_xet.XetSession().new_file_download_group(endpoint=endpoint, **signed) as group:
    group.start_download_file(hf_xet.XetFileInfo(name, int(size)), path)
"""


class Xet:
    """What the CAS server knows."""

    def __init__(self, state: State):
        self.state = state
        self.folder = state.folder / "cas"
        self.local = state.folder / "cas-local"
        for folder in (self.folder, self.local):
            folder.mkdir()
        self.tokens: dict[str, str] = {}
        self.own_token = secrets.token_hex(16)
        self.tokens[self.own_token] = "read"
        self.granted: dict[str, int] = {}
        self.uploaded: dict[str, Path] = {}
        self.offsets: dict[str, list[int]] = {}
        self.files: dict[str, XetFile] = {}
        self.by_sha256: dict[str, XetFile] = {}
        self.seen: set[Path] = set()

    def register(self, shard: bytes) -> None:
        for file in files_of(shard):
            self.files[file.hash] = self.by_sha256[file.sha256] = file

    def hash_of(self, sha256: str) -> str | None:
        """The Xet hash of the file with this SHA-256, if it was uploaded through Xet."""
        for path in set(self.local.rglob("xorbs/shards/*.mdb")) - self.seen:
            self.register(path.read_bytes())
            self.seen.add(path)
        file = self.by_sha256.get(sha256)
        return file.hash if file else None

    def address(self) -> str:
        return f"local://{self.local}" if self.state.settings.xet == "local" else self.state.storage

    def read_back(self, sha256: str) -> None:
        """Put the file together and into the store. Blocks, and calls the server itself."""
        self.hash_of(sha256)
        file, target = self.by_sha256[sha256], self.state.store.partial()
        with tempfile.TemporaryDirectory(dir=self.state.folder) as scratch:
            endpoint = self.address()
            if endpoint.startswith("local:"):  # a copy: the client may hold the original open
                shutil.copytree(self.local, Path(scratch) / "cas")
                endpoint = f"local://{scratch}/cas"
            env = os.environ | {"HF_HOME": scratch, "NO_PROXY": "localhost", "no_proxy": "localhost"}
            arguments = [endpoint, self.own_token, file.hash, str(file.size), str(target)]
            subprocess.run([sys.executable, "-c", READ_BACK, *arguments], env=env, check=True, timeout=120)
        if self.state.store.digest(target) != sha256:
            raise ValueError(f"what Xet stored as {sha256} has another SHA-256")
        target.replace(self.state.store.path(sha256))


def granted(request: Request, rights: str) -> JSONResponse:
    xet = state_of(request).xet
    token, expires = "xet_" + secrets.token_hex(16), int(time.time()) + 3600
    xet.tokens[token] = rights
    headers = {
        "X-Xet-Cas-Url": xet.address(),
        "X-Xet-Token-Expiration": str(expires),
        "X-Xet-Access-Token": token,
    }
    return JSONResponse({"casUrl": xet.address(), "exp": expires, "accessToken": token}, headers=headers)


@router.get(MODEL + "/xet-write-token/{rest:path}")
async def write_token(request: Request):
    writable(request)
    return granted(request, "write")


@router.get(MODEL + "/xet-read-token/{rest:path}")
async def read_token(request: Request):
    readable(request)
    return granted(request, "read")
