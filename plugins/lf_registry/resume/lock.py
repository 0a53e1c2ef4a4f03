"""One training at a time writes into an output folder."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

from ..errors import UserError

_NAME = ".training.lock"
_held: dict[str, int] = {}


def lock(folder: Path, patience: float = 15.0) -> None:
    """Hold the folder's lock until this process ends, however it ends. Does nothing when it is held already.

    Without it, a run that is started while an orphan of a killed one still trains would take the orphan's checkpoint,
    which is being written, for a broken one.

    Args:
        folder: an output folder that exists.
        patience: seconds to wait for a process that was killed a moment ago.

    Raises:
        UserError: another training holds it.
    """
    path = folder / _NAME
    key = str(path.resolve())
    if key in _held:
        return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        return  # a folder that cannot be written is another message's business
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                os.close(descriptor)
                return  # this file system has no locks
            if time.monotonic() > until:
                holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip()
                os.close(descriptor)
                raise UserError(
                    f"{folder}: another training writes into this folder ({holder or 'its process is not known'}), and "
                    "two would destroy each other's checkpoints",
                    hint="wait for it, stop it with `kill` and that number, or name another output_dir",
                ) from None
            time.sleep(0.2)
        else:
            break
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
    _held[key] = descriptor
