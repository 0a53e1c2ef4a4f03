"""What the server remembers: accounts, tokens, repos with their commits, and the stored files."""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .calls import Call
from .errors import revision_not_found
from .faults import Faults

#: A new repo begins with this file, as on the Hub.
GITATTRIBUTES = "".join(
    f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in ("bin", "safetensors", "pt", "gguf", "model")
)


@dataclass(frozen=True)
class Entry:
    """One file of a commit: ``oid`` is git's (of the pointer, when the file is stored outside of git)."""

    path: str
    size: int
    sha256: str
    oid: str
    lfs: bool = False
    xet_hash: str | None = None


@dataclass(frozen=True)
class Commit:
    id: str
    title: str
    message: str
    author: str
    date: str
    files: dict[str, Entry]
    parent: str | None = None


@dataclass
class Repo:
    """A model repo. ``objects`` are the SHA-256 sums of the large files that were uploaded to it."""

    id: str
    private: bool
    store: Store
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    objects: set[str] = field(default_factory=set)

    def at(self, revision: str = "main") -> Commit:
        """The commit of a branch, a tag or a commit id."""
        commit = self.branches.get(revision) or self.tags.get(revision) or revision
        if commit not in self.commits:
            raise revision_not_found(revision)
        return self.commits[commit]

    def history(self, revision: str = "main") -> list[Commit]:
        """The commits of a revision, newest first."""
        found = [self.at(revision)]
        while found[-1].parent:
            found.append(self.commits[found[-1].parent])
        return found

    def files(self, revision: str = "main") -> dict[str, Entry]:
        return self.at(revision).files

    def read(self, path: str, revision: str = "main") -> bytes:
        sha256 = self.files(revision)[path].sha256
        if not self.store.path(sha256).exists():
            self.store.read_back(sha256)
        return self.store.path(sha256).read_bytes()

    def commit(self, branch: str, title: str, author: str, files: dict[str, Entry], message: str = "") -> Commit:
        parent = self.branches.get(branch)
        commit = Commit(
            secrets.token_hex(20),
            title,
            message,
            author,
            datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            files,
            parent,
        )
        self.commits[commit.id] = commit
        self.branches[branch] = commit.id
        return commit


class Store:
    """Files by their SHA-256, in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.numbers = itertools.count()
        self.read_back: Callable[[str], None] = lambda sha256: None
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        return self.folder / sha256

    def partial(self) -> Path:
        """A new path for a file that is still coming in."""
        return self.folder / f"{next(self.numbers)}.part"

    def add(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        self.path(sha256).write_bytes(content)
        return sha256

    @staticmethod
    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class Settings:
    """What a test may change.

    Attributes:
        large_file: bytes from which a file is stored outside of git, whatever it is called.
        chunk_size: bytes of one part of an LFS upload; a file that is larger comes in parts. None: never.
            Small here, so that small tests reach it.
        page_size: entries in one answer that lists things; the rest is behind its ``Link`` header.
        xet: where the Xet client stores: ``http``, a CAS server at the storage's address, or ``local``, a folder
            (``local://``, which one client at a time can open).
    """

    large_file: int = 10 * 1024 * 1024
    chunk_size: int | None = 256 * 1024
    page_size: int = 1000
    xet: str = "http"


class State:
    """Everything of one test."""

    def __init__(self, folder: Path, port: int):
        self.folder = folder
        self.endpoint = f"http://127.0.0.1:{port}"
        self.storage = f"http://localhost:{port}"
        self.store = Store(folder / "files")
        self.settings = Settings()
        self.calls: list[Call] = []
        self.faults = Faults()
        self.repos: dict[str, Repo] = {}
        self.tokens: dict[str, Any] = {}
        self.users: dict[str, dict[str, str]] = {}
        self.parts: dict[str, dict[int, Path]] = {}
        self.xet: Any = None

    def create(self, repo_id: str, *, private: bool, author: str) -> Repo:
        repo = self.repos[repo_id] = Repo(repo_id, private, self.store)
        content = GITATTRIBUTES.encode()
        repo.commit("main", "initial commit", author, {".gitattributes": self.regular(".gitattributes", content)})
        return repo

    def regular(self, path: str, content: bytes) -> Entry:
        """A file that git stores itself."""
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return Entry(path, len(content), self.store.add(content), oid)
