"""The folder of a merge: written beside its target and renamed at the end: nothing half-written looks whole."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def clean_leftovers(target: Path) -> list[str]:
    """Remove what a killed merge into the same target left beside it.

    Returns:
        What was removed, one sentence each.

    Raises:
        UserError: a merge into this target is running.
    """
    notes = []
    target = target.resolve()
    for left in sorted(target.parent.glob(f".{glob_escape(target.name)}.merging-*")):
        try:
            descriptor = os.open(left, os.O_RDONLY)
        except FileNotFoundError:
            continue  # its merge has just ended
        except OSError as error:
            raise UserError(f"{left}: was left by a merge and cannot be opened ({error.strerror})") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)  # under the lock: see _locked_folder
        except BlockingIOError:
            raise UserError(f"{target}: another merge into this folder is running (it writes to {left})") from None
        finally:
            os.close(descriptor)
        notes.append(f"removed {left}, which a merge that was stopped had left")
    old = target.with_name(f".{target.name}.before-merge")
    if old.is_dir() and not target.exists():
        old.rename(target)
        notes.append(f"put {target} back, which a merge that was stopped had moved to {old.name}")
    elif old.is_dir():
        shutil.rmtree(old)
    return notes


def glob_escape(name: str) -> str:
    """A name as a pattern that matches only itself."""
    import glob

    return glob.escape(name)


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """A locked folder beside ``target``; removed when the block raises, also on Ctrl-C and SIGTERM.

    The lock is the process's own: when it is killed, the lock is gone, and the next merge may remove the folder.

    Raises:
        UserError: the folder cannot be made, or anything cannot be read or written inside the block.
    """
    target = target.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder, descriptor = _locked_folder(target)
    except OSError as error:
        raise UserError(f"{target.parent}: cannot be written ({error.strerror})") from None
    folder.chmod(0o777 & ~_umask())
    try:
        with _terminated_as_interrupt():
            yield folder
    except OSError as error:
        raise _explained(error, target.parent) from error
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)  # after success this is the name's old folder, or nothing


def _locked_folder(target: Path) -> tuple[Path, int]:
    """A new folder and the descriptor that holds its lock; again when another merge took it for a leftover."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.merging-", dir=target.parent))
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder, descriptor
            os.close(descriptor)


def _explained(error: OSError, folder: Path) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"{folder}: the disk became full while writing; nothing was changed", hint="make room")
    where = f"{error.filename}: " if error.filename else ""
    return UserError(f"{where}{error.strerror or error}; the merge was stopped and nothing was changed")


@contextmanager
def _terminated_as_interrupt() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def put_in_place(folder: Path, target: Path, *, overwrite: bool) -> None:
    """Give ``folder`` the name ``target`` in one step; what stood there has ``folder``'s name afterwards, or is gone.

    Without ``overwrite`` only an empty folder is replaced: what came there during the merge is somebody's.

    Raises:
        UserError: the target cannot be replaced.
    """
    target = target.resolve()
    sync(folder)
    try:
        if overwrite and target.exists() and any(target.iterdir()):
            _exchange(folder, target)
        else:
            folder.rename(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be put in place ({error.strerror}); nothing was changed") from None
    sync(target.parent)


def _exchange(folder: Path, target: Path) -> None:
    """Swap two folders in one step (Linux); where the file system cannot, in two, which the next merge can complete."""
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        names = os.fsencode(folder), os.fsencode(target)
        if library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
            return
        if ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    old = target.with_name(f".{target.name}.before-merge")
    target.rename(old)
    folder.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, last."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
