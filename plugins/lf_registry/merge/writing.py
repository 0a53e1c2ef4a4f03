"""Write bytes of weight files: whole pages, and not into the page cache when nobody reads them soon."""

from __future__ import annotations

import ctypes
import errno
import os
import sys

#: Linux 6.14: the pages go to the disk at once and are used again, so that writing a model neither fills the memory nor
#: waits for new pages. Source: include/uapi/linux/fs.h, and preadv2(2).
RWF_DONTCACHE = 0x80
_NOT_KNOWN = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_PAGE = 4096
#: sync_file_range(2); Python has no function for it.
_SYNC_FILE_RANGE_WRITE = 2
_LIBRARY = ctypes.CDLL(None)


def begin_writeback(descriptor: int, offset: int, count: int) -> None:
    """Let Linux begin to write bytes to the disk, so that the last sync, which finds errors, has little to do."""
    if hasattr(_LIBRARY, "sync_file_range"):
        _LIBRARY.sync_file_range(descriptor, ctypes.c_int64(offset), ctypes.c_int64(count), _SYNC_FILE_RANGE_WRITE)


class Writer:
    """Writes at offsets.

    A page that is not complete waits for the bytes after it: half a page that went to the disk would be read again for
    its other half.

    Args:
        keep: whether the bytes are read again soon, so that they had better stay in memory.
    """

    def __init__(self, *, keep: bool) -> None:
        self._flags = RWF_DONTCACHE if not keep and sys.platform == "linux" else 0
        self._waiting = b""
        self._descriptor, self._place = -1, 0  # where what waits belongs

    def write(self, descriptor: int, view: memoryview, offset: int) -> None:
        """Write ``view`` from byte ``offset`` on; its last bytes may wait until the next call or ``flush``.

        Raises:
            OSError: the disk is full, or another error of the file system.
        """
        if (descriptor, offset) != (self._descriptor, self._place + len(self._waiting)):
            self.flush()
            self._descriptor, self._place = descriptor, offset
        end = offset + len(view)
        ready = end // _PAGE * _PAGE - offset  # bytes of ``view`` that end a page
        if ready <= 0:
            self._waiting += bytes(view)
            return
        self._all([self._waiting, view[:ready]])
        self._waiting, self._place = bytes(view[ready:]), offset + ready

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OSError: as ``write``.
        """
        self._all([self._waiting])
        self._waiting, self._place = b"", self._place + len(self._waiting)

    def _all(self, parts: list[bytes | memoryview]) -> None:
        place = self._place
        views = [memoryview(part) for part in parts if len(part)]
        while views:
            done = self._some(views, place)
            if not self._flags:
                begin_writeback(self._descriptor, place, done)
            place += done
            while views and done >= len(views[0]):
                done -= len(views.pop(0))
            if views:
                views[0] = views[0][done:]

    def _some(self, views: list[memoryview], place: int) -> int:
        if self._flags:
            try:
                return os.pwritev(self._descriptor, views, place, self._flags)
            except NotImplementedError:  # what this Python says when its C library has no pwritev2
                self._flags = 0
            except OSError as error:
                if error.errno not in _NOT_KNOWN:
                    raise
                self._flags = 0  # an older kernel, or a file system that cannot
        return os.pwritev(self._descriptor, views, place)
