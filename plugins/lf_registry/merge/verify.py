"""What is checked after writing: the files hold what was computed, what should differ does, nothing is NaN."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import UserError
from .plan import Plan
from .stream import Written
from .work import Copy
from .worker import Merged

_READ = 1 << 20


def bytes_to_read(plan: Plan, written: Written) -> int:
    """How many bytes ``verify_tensors`` reads: the files, what was merged in them, what was copied and its source."""
    return plan.size + sum(done.work.count for done in written.merged) + 2 * sum(item.count for item in written.copied)


def verify_tensors(
    plan: Plan, folder: Path, written: Written, threads: int, progress: Callable[[int], None]
) -> dict[str, Any]:
    """Read every file back and compare it with what was computed or copied.

    Args:
        plan: what had to be written.
        folder: where it was written.
        written: what was seen while writing.
        threads: how many.
        progress: gets the number of bytes read so far, in any thread.

    Returns:
        What goes into the report: counts, the tensors that did not change, and an xxh3 (128 bits) of each file.

    Raises:
        UserError: a byte differs from what it should be, a value is NaN or infinite, or the adapter changed nothing.
    """
    reader = _Reader(folder, progress)
    with ThreadPoolExecutor(threads) as pool:
        hashes = dict(
            pool.map(lambda shard: (shard.file, reader.digest(folder / shard.file, 0, shard.size)), plan.shards)
        )
        wrong = [problem for problem in pool.map(reader.check_merged, written.merged) if problem]
        wrong += [problem for problem in pool.map(reader.check_copy, written.copied) if problem]
    touched = [tensor.name for tensor in plan.tensors if tensor.operations]
    changed = {entry.work.tensor.name for entry in written.merged if entry.changed}
    same = [name for name in touched if name not in changed]
    broken = sorted({entry.work.tensor.name for entry in written.merged if not entry.finite})
    if broken:
        names = ", ".join(broken[:5]) + (f" and {len(broken) - 5} more" if len(broken) > 5 else "")
        wrong.append(
            f"NaN or infinite values in {names}: the adapter or the base is broken, or the type's range too small"
        )
    replaced = [tensor.name for tensor in plan.tensors if tensor.trained]
    if touched and not changed and not replaced:
        wrong.append(
            "the merged model equals its base: every delta is zero or below the resolution of its type; "
            "was the adapter trained?"
        )
    if wrong:
        raise UserError(wrong, hint="nothing was put in place; --verify none writes it all the same")
    return {
        "tensors_merged": len(touched),
        "tensors_replaced": len(replaced),
        "tensors_copied": len(plan.tensors) - len({*touched, *replaced}),
        "tensors_not_changed_by_their_delta": same,
        "finite": True,
        "files": {file: {"bytes": shard.size, "xxh3_128": hashes[file]} for file, shard in _by_file(plan).items()},
    }


def _by_file(plan: Plan) -> dict[str, Any]:
    return {shard.file: shard for shard in plan.shards}


class _Reader:
    """Hashes bytes of files, and counts them."""

    def __init__(self, folder: Path, progress: Callable[[int], None]) -> None:
        self.folder, self.progress = folder, progress
        self.done, self.lock = 0, threading.Lock()

    def digest(self, path: Path, start: int, count: int) -> str:
        """xxh3 (128 bits) of ``count`` bytes; of fewer when the file ends before."""
        import xxhash

        digest = xxhash.xxh3_128()
        buffer = bytearray(min(_READ, max(1, count)))
        descriptor = os.open(path, os.O_RDONLY)
        try:
            done = 0
            while done < count:
                view = memoryview(buffer)[: min(_READ, count - done)]
                got = os.preadv(descriptor, [view], start + done)
                if got == 0:
                    break
                digest.update(view[:got])
                done += got
                with self.lock:
                    self.done += got
                    self.progress(self.done)
        finally:
            os.close(descriptor)
        return digest.hexdigest()

    def check_merged(self, done: Merged) -> str | None:
        item = done.work
        if self.digest(self.folder / item.file, item.begin, item.count) == done.digest:
            return None
        return f"{item.file}: tensor {item.tensor.name!r} does not read back as it was written: is the disk sound?"

    def check_copy(self, item: Copy) -> str | None:
        here = self.digest(self.folder / item.file, item.place, item.count)
        if here == self.digest(item.source, item.start, item.count):
            return None
        return (
            f"{item.file}: {item.count:,} bytes from byte {item.place:,} differ from {item.source}, copied from there"
        )
