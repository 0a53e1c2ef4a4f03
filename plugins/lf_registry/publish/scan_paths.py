"""Paths of the machine that a model was trained on, in the bytes of a file: they break elsewhere, and name people."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .scan_shapes import Hit

KIND = "a path of this machine"
#: Folders at the root of a machine that hold people's files; `home` alone is also a word of every vocabulary.
_ROOTS = (
    *("root", "home", "Users", "Volumes", "workspace", "tmp", "mnt", "nfs", "raid", "scratch", "lustre", "gpfs"),
    *("data", "data1", "data2", "ssd", "hdd", "nas", "srv", "storage"),
    *("private/var", "var/folders", "runpod-volume", "content/drive", "kaggle/working", "kaggle/input", "opt/ml"),
)
#: What stands before a path as a text begins it: not a web address, a relative path or another word.
_NOT_BEFORE = rb"(?<![\w.~/@%-])"
_INSIDE = re.compile(_NOT_BEFORE + rb"/[\w/-]+?\\?/[\w.~@+-]")
_WINDOWS = re.compile(rb"(?<![A-Za-z0-9])[A-Za-z]:(?:\\{1,4}|/)(?:Users|Documents and Settings)(?:\\{1,4}|/)\w")
_FILE = re.compile(rb"file:\\?/\\?/[^\s\"'<>)]")
_WHOLE = re.compile(_NOT_BEFORE + rb"/(?:[\w.-]+/){0,12}$")
_ABSOLUTE = re.compile(rb"(?<![\w.:~/@%-])/(?:[\w.-]+/){0,12}$")
#: Names of accounts that say nothing of a person, and would be found in paths of every kind.
_NOBODY = ("root", "user", "admin", "ubuntu", "runner", "jovyan", "app", "docker", "nobody", "model", "models", "data")


@dataclass(frozen=True)
class Private:
    """What is private to this machine.

    Attributes:
        folders: absolute paths of two components and more, as bytes.
        user: the account's name, empty when it says nothing.
    """

    folders: tuple[bytes, ...] = ()
    user: bytes = b""


def private_paths(folders: Iterable[Path]) -> Private:
    """The current user's home and name, the current folder, and ``folders``."""
    names = {str(place) for place in (*folders, Path.home(), Path.cwd())}
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        user = ""
    known = tuple(name.encode() for name in sorted(names, key=len, reverse=True) if len(Path(name).parts) > 2)
    return Private(known, user.encode() if len(user) > 2 and user.lower() not in _NOBODY else b"")


def paths_in(data: bytes, private: Private) -> Iterator[Hit]:
    """Everything in a block of bytes that looks like a path of this machine."""
    for start, end in (*_general(data), *_private(data, private)):
        yield start, end, KIND


def _general(data: bytes) -> Iterator[tuple[int, int]]:
    for root in _ROOTS:
        # After the name comes a slash (in some JSON a backslash before it) and the next name's first letter.
        for slash in (b"/", b"\\/"):
            name = f"/{root}".encode() + slash
            for place in _places(data, name):
                if _INSIDE.match(data, place):
                    yield place, place + len(name) + 1
    for word in (b"Users", b"Documents and Settings"):
        for place in _places(data, word):
            if match := _WINDOWS.search(data, max(0, place - 6), place + len(word) + 6):
                yield match.span()
    for place in _places(data, b"file:"):
        if match := _FILE.match(data, place):
            yield match.span()


def _private(data: bytes, private: Private) -> Iterator[tuple[int, int]]:
    for folder in private.folders:
        for place in _places(data, folder):
            after = data[place + len(folder) : place + len(folder) + 1]
            if _WHOLE.search(data[max(0, place - 1) : place + 1]) and not re.match(rb"[\w-]", after):
                yield place, place + len(folder)
    for place in _places(data, b"/" + private.user + b"/") if private.user else ():
        begin = max(0, place - 400)
        if match := _ABSOLUTE.search(data[begin : place + 1]):
            yield begin + match.start(), place + len(private.user) + 2


def _places(data: bytes, text: bytes) -> Iterator[int]:
    place = data.find(text)
    while place >= 0:
        yield place
        place = data.find(text, place + len(text))
