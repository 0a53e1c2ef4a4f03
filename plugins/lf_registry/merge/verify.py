"""What is checked after writing: the files hold what was computed, what should differ does, nothing is NaN."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import UserError
from .plan import Plan
from .stream import Written
from .work import Copy
from .worker import Merged

_READ = 1 << 20


def verify_tensors(plan: Plan, folder: Path, written: Written, threads: int) -> dict[str, Any]:
    """Read every file back and compare it with what was computed or copied.

    Returns:
        What goes into the report: counts, the tensors that did not change, and an xxh3 (128 bits) of each file.

    Raises:
        UserError: a byte differs from what it should be, a value is NaN or infinite, or the adapter changed nothing.
    """
    with ThreadPoolExecutor(threads) as pool:
        hashes = dict(pool.map(lambda shard: (shard.file, _digest(folder / shard.file, 0, shard.size)), plan.shards))
        wrong = [problem for problem in pool.map(lambda done: _check_merged(folder, done), written.merged) if problem]
        wrong += [problem for problem in pool.map(lambda item: _check_copy(folder, item), written.copied) if problem]
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


def _digest(path: Path, start: int, count: int) -> str:
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
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def _check_merged(folder: Path, done: Merged) -> str | None:
    item = done.work
    if _digest(folder / item.file, item.begin, item.count) == done.digest:
        return None
    return f"{item.file}: tensor {item.tensor.name!r} does not read back as it was written: is the disk sound?"


def _check_copy(folder: Path, item: Copy) -> str | None:
    if _digest(folder / item.file, item.place, item.count) == _digest(item.source, item.start, item.count):
        return None
    return f"{item.file}: {item.count:,} bytes from byte {item.place:,} differ from {item.source}, copied from there"
