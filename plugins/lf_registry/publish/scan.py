"""Search every file that goes up for secrets and for paths of this machine. What was found is never shown."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..secret_text import hide_in_text
from ..tensors import BadTensorFile
from .artifact import Upload
from .scan_files import Block, CannotSearch, blocks
from .scan_paths import KIND as LOCAL_PATH
from .scan_paths import Private, paths_in, private_paths
from .scan_secrets import secrets_in

__all__ = ["LOCAL_PATH", "NOT_SEARCHED", "Leak", "refuse_leaks", "scan"]

#: The kind of a file that cannot be looked into.
NOT_SEARCHED = "content that cannot be searched"
#: Files that list pieces of words.
_VOCABULARIES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "tekken.json",
)
#: Files in which a value may stand without quotes.
_BARE = ("", ".yaml", ".yml", ".env", ".ini", ".cfg", ".toml", ".txt", ".sh", ".properties")
#: The part of a leak in a file's name.
NAME = "its name"
#: Kinds that are guessed: such a thing may be harmless.
_DOUBTFUL = (LOCAL_PATH, "a random text", "a secret by its name", "a Weights & Biases key (or a commit")
#: How many findings of one file an error lists.
_MOST = 10


@dataclass(frozen=True)
class Leak:
    """A place in a file that must not go up. It holds nothing of what stands there.

    Attributes:
        file: the file's path in the repository.
        line: from 1; 0 for the file as a whole or its name.
        first, last: columns in characters, from 1; both 0 where they cannot be told.
        kind: what it looks like: ``a Hugging Face token``, ``a path of this machine``.
        part: where inside the file, when that is not a line of it: ``__metadata__: run``.
        local: the file on this machine, None for content that was made here.
    """

    file: str
    line: int
    first: int
    last: int
    kind: str
    part: str = ""
    local: Path | None = None

    @property
    def where(self) -> str:
        """The place as a person looks it up."""
        made = self.local is None and self.part != NAME
        file = str(self.local or self.file) + (" (made from the recipe or the card)" if made else "")
        columns = f", columns {self.first} to {self.last}" if self.first else ""
        return hide_in_text(
            f"{file}, {self.part}" if self.part else f"{file}, line {self.line}{columns}" if self.line else file
        )

    @property
    def key(self) -> str:
        """The place as ``--allow`` names it: ``FILE:LINE``, or ``FILE:PART`` where there are no lines."""
        return hide_in_text(f"{self.file}:{self.line or self.part}" if self.line or self.part else self.file)

    @property
    def can_be_allowed(self) -> bool:
        """Whether a person may know better: what it looks like is not a token of a known kind."""
        return self.kind.startswith(_DOUBTFUL)

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}"


def scan(uploads: Sequence[Upload]) -> list[Leak]:
    """Search the content and the names of all files.

    Texts are searched whole, in pieces of bounded size; of safetensors files the header's texts and names, of images
    the texts in them.

    Returns:
        All places, in the order of files and lines; empty when everything may go up.
    """
    folders = {upload.local.resolve().parent for upload in uploads if upload.local is not None}
    private = private_paths(folders)
    found: dict[Leak, None] = {}
    for upload in uploads:
        for leak in _scan_file(upload, private):
            found.setdefault(leak)
    return list(found)


def _scan_file(upload: Upload, private: Private) -> Iterator[Leak]:
    name = upload.remote.encode()
    for _, _, kind in secrets_in(name):
        yield Leak(hide_in_text(upload.remote), 0, 0, 0, kind, NAME)
    base = upload.remote.rpartition("/")[2]
    suffix = Path(base).suffix.lower()
    vocabulary = base in _VOCABULARIES or suffix == ".tiktoken"
    settings = not vocabulary and suffix in (*_BARE, ".json", ".jsonl", ".safetensors")
    bare = not vocabulary and suffix in _BARE
    seen: set[tuple[int, str]] = set()
    try:
        for block in blocks(upload):
            marks = {"settings": settings, "bare_values": bare, "vocabulary": vocabulary}
            hits = list(secrets_in(block.data, **marks, shapes_only=block.image))
            hits += paths_in(block.data, private)
            for start, end, kind in _outermost(hits):
                if start < block.fresh or (block.until is not None and start >= block.until):
                    continue
                leak = _leak(upload, block, start, end, kind)
                if block.exact or block.part or (leak.line, kind) not in seen:
                    seen.add((leak.line, kind))
                    yield leak
    except CannotSearch as error:
        yield Leak(upload.remote, 0, 0, 0, f"{NOT_SEARCHED}: {error}", "", upload.local)
    except BadTensorFile:
        yield Leak(upload.remote, 0, 0, 0, f"{NOT_SEARCHED}: its header is broken", "", upload.local)
    except OSError as error:
        yield Leak(upload.remote, 0, 0, 0, f"{NOT_SEARCHED}: {error.strerror or 'it cannot be read'}", "", upload.local)


def _outermost(hits: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """One hit for each place: of those that overlap the first found, which is the one with the better name."""
    kept: list[tuple[int, int, str]] = []
    for start, end, kind in hits:
        if not any(start < other_end and other_start < end for other_start, other_end, _ in kept):
            kept.append((start, end, kind))
    return sorted(kept)


def _leak(upload: Upload, block: Block, start: int, end: int, kind: str) -> Leak:
    if block.part:
        return Leak(upload.remote, 0, 0, 0, kind, hide_in_text(block.part), upload.local)
    line = block.line + block.data.count(b"\n", 0, start)
    if not block.exact:
        return Leak(upload.remote, line, 0, 0, kind, "", upload.local)
    newline = block.data.rfind(b"\n", 0, start)
    before = len(block.data[newline + 1 : start].decode("utf-8", "replace")) + (block.before if newline < 0 else 0)
    length = len(block.data[start:end].decode("utf-8", "replace"))
    return Leak(upload.remote, line, before + 1, before + length, kind, "", upload.local)


def refuse_leaks(leaks: Sequence[Leak]) -> None:
    """Stop when anything was found.

    Raises:
        UserError: lists the places, and what to do about each kind.
    """
    if not leaks:
        return
    problems = []
    for file in dict.fromkeys(leak.file for leak in leaks):
        here = [leak for leak in leaks if leak.file == file]
        problems += [f"{leak}; {_advice(leak)}" for leak in here[:_MOST]]
        if len(here) > _MOST:
            problems.append(f"{hide_in_text(file)}: and {len(here) - _MOST} more places in this file")
    hint = "correct these files, then run the same command again; nothing was uploaded"
    doubtful = list(dict.fromkeys(leak.key for leak in leaks if leak.can_be_allowed))
    if doubtful:
        words = " ".join(f"--allow {shlex.quote(key)}" for key in doubtful[:_MOST])
        hint += f". What is harmless can go up as it is: {words}"
    raise UserError(problems, hint=hint)


def _advice(leak: Leak) -> str:
    if leak.kind == LOCAL_PATH:
        return "it is found nowhere else, and may name a person: write a Hub id, a relative path, or take it out"
    if leak.kind.startswith(NOT_SEARCHED):
        return "so it cannot be known whether it holds a secret: take it out, or save it again"
    if leak.kind.startswith("a random text"):
        return "if it is a key, take it out and revoke it; if it is none, shorten it"
    return "take it out, and revoke it: whatever reads this folder has seen it"
