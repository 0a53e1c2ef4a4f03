"""What is checked after writing: the files hold what was computed, what should differ does, nothing is NaN."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import UserError
from .plan import Plan
from .shards import OutShard
from .stream import Written

_READ = 1 << 20


def bytes_to_read(plan: Plan, written: Written) -> int:
    """How many bytes ``verify_tensors`` reads: every file once, and the sources of what was copied."""
    return plan.size + sum(item.count for item in written.copied)


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
    reader = _Reader(progress)
    with ThreadPoolExecutor(threads) as pool:
        files = [(shard, pool.submit(_read_back, reader, folder, shard, written)) for shard in plan.shards]
        copies = [
            (item, pool.submit(reader.digests, item.source, [(item.start, item.count)])) for item in written.copied
        ]
        try:
            read = {shard.file: future.result() for shard, future in files}
            sources = [(item, future.result()) for item, future in copies]
        except BaseException:  # Ctrl-C too does not wait until everything is read
            reader.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    wrong = []
    for done in written.merged:
        item = done.work
        if read[item.file][item.begin, item.count] != done.digest:
            wrong.append(
                f"{item.file}: tensor {item.tensor.name!r} does not read back as it was written: is the disk sound?"
            )
    for copy, source in sources:
        if read[copy.file][copy.place, copy.count] != source[copy.start, copy.count]:
            wrong.append(
                f"{copy.file}: {copy.count:,} bytes from byte {copy.place:,} differ from {copy.source}, "
                "copied from there"
            )
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
        "files": {
            shard.file: {"bytes": shard.size, "xxh3_128": read[shard.file][0, shard.size]} for shard in plan.shards
        },
    }


def _read_back(reader: _Reader, folder: Path, shard: OutShard, written: Written) -> dict[tuple[int, int], str]:
    """The digests of a file and of all that was written into it."""
    parts = [(done.work.begin, done.work.count) for done in written.merged if done.work.file == shard.file]
    parts += [(item.place, item.count) for item in written.copied if item.file == shard.file]
    return reader.digests(folder / shard.file, [(0, shard.size), *parts])


class _Reader:
    """Hashes bytes of files, and counts them."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self.progress = progress
        self.done, self.lock, self.stop = 0, threading.Lock(), threading.Event()

    def digests(self, path: Path, parts: Sequence[tuple[int, int]]) -> dict[tuple[int, int], str]:
        """xxh3 (128 bits) of parts of a file, which may overlap; every byte is read once.

        Args:
            path: the file.
            parts: where each begins and how many bytes it has; of a file that ends before, what there is.
        """
        import xxhash

        found = {part: xxhash.xxh3_128() for part in parts}
        waiting = sorted(found, reverse=True)
        open_parts: list[tuple[int, int]] = []
        place, end = min(start for start, _ in parts), max(start + count for start, count in parts)
        buffer = memoryview(bytearray(min(_READ, max(1, end - place))))
        with path.open("rb", buffering=0) as stream:
            while place < end and not self.stop.is_set():
                if not (got := os.preadv(stream.fileno(), [buffer[: end - place]], place)):
                    break
                while waiting and waiting[-1][0] < place + got:
                    open_parts.append(waiting.pop())
                for start, count in open_parts:
                    found[start, count].update(buffer[max(0, start - place) : min(got, start + count - place)])
                open_parts = [(start, count) for start, count in open_parts if start + count > place + got]
                place += got
                with self.lock:
                    self.done += got
                    self.progress(self.done)
        return {part: digest.hexdigest() for part, digest in found.items()}
