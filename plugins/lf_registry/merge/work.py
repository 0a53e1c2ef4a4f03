"""A plan as a list of work, dealt out to threads: contiguous shares of about equal cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from .operations import OutTensor
from .plan import Plan

#: What a byte that is merged costs, in bytes that are copied: one thread merged about 1 GB/s and copied 3 to 4.
_MERGE_COST = 3
#: Where a piece of work may be cut: at multiples of so many bytes or rows.
_COPY_GRAIN = 1 << 20
_ROW_GRAIN = 64


@dataclass(frozen=True)
class Copy:
    """Bytes that the kernel copies: ``count`` from byte ``start`` of ``source`` to byte ``place`` of ``file``."""

    file: str
    place: int
    source: Path
    start: int
    count: int

    @property
    def cost(self) -> int:
        """In bytes copied."""
        return self.count


@dataclass(frozen=True)
class Merge:
    """Rows ``first`` to ``last`` (not included) of ``tensor``, which begins at byte ``place`` of ``file``."""

    file: str
    place: int
    tensor: OutTensor
    first: int
    last: int

    @property
    def width(self) -> int:
        """Values of a row: the last dimension."""
        return self.tensor.shape[-1] if self.tensor.shape else 1

    @property
    def begin(self) -> int:
        """The byte of ``file`` where these rows begin."""
        return self.place + self.first * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in the merged model."""
        return self.tensor.size // max(1, rows_of(self.tensor))

    @property
    def count(self) -> int:
        """Bytes of these rows in the merged model."""
        return (self.last - self.first) * self.row_bytes

    @property
    def cost(self) -> int:
        """In bytes copied."""
        return _MERGE_COST * self.count


def rows_of(tensor: OutTensor) -> int:
    """How many rows a tensor has when all dimensions but the last are taken together; a vector is one row."""
    return prod(tensor.shape[:-1])


def work_of(plan: Plan) -> Iterator[Copy | Merge]:
    """The work in the order of files and bytes; neighbouring copies from one file become one."""
    for shard in plan.shards:
        waiting: Copy | None = None
        for tensor, place in shard.placed():
            if tensor.copied:
                source = tensor.source
                if waiting and waiting.source == source.path and waiting.start + waiting.count == source.start:
                    waiting = replace(waiting, count=waiting.count + tensor.size)
                    continue
                if waiting:
                    yield waiting
                waiting = Copy(shard.file, place, source.path, source.start, tensor.size)
                continue
            if waiting:
                yield waiting
                waiting = None
            yield Merge(shard.file, place, tensor, 0, rows_of(tensor))
        if waiting:
            yield waiting


def shares(work: Sequence[Copy | Merge], threads: int) -> list[list[Copy | Merge]]:
    """Cut the work into at most ``threads`` contiguous shares."""
    total = sum(item.cost for item in work)
    found: list[list[Copy | Merge]] = [[]]
    room = total / threads
    for item in work:
        rest: Copy | Merge | None = item
        while rest is not None and rest.cost > room and len(found) < threads:
            head, rest = _cut(rest, room / rest.cost)
            if head is not None:
                found[-1].append(head)
            found.append([])
            room = total / threads
        if rest is not None:
            found[-1].append(rest)
            room -= rest.cost
    return [share for share in found if share]


def _cut(item: Copy | Merge, share: float) -> tuple[Copy | Merge | None, Copy | Merge | None]:
    """Cut one piece of work in two; one of them is None when it cannot be cut there."""
    if isinstance(item, Copy):
        first = int(item.count * share) // _COPY_GRAIN * _COPY_GRAIN
        if first in (0, item.count):
            return (None, item) if first == 0 else (item, None)
        rest = replace(item, place=item.place + first, start=item.start + first, count=item.count - first)
        return replace(item, count=first), rest
    count = item.last - item.first
    cut = int(count * share) // _ROW_GRAIN * _ROW_GRAIN
    if item.tensor.whole or cut == 0 or count - cut < _ROW_GRAIN:
        return (None, item) if share < 0.5 else (item, None)
    return replace(item, last=item.first + cut), replace(item, first=item.first + cut)
