"""Add a delta to rows of a weight, bit for bit as PEFT does it, in buffers that are used again.

The order of the roundings, equal to PEFT 0.18's ``merge_and_unload`` on the CPU: ``B @ A`` in fp32, times the scaling
as a rounding of its own, added to W in fp32, one rounding to W's type. Rows may be taken in pieces, but not in small
ones: for fewer than 16 rows or columns the BLAS library takes another kernel, whose last bit differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch

from .checkpoint import FLOATS, Part
from .operations import FEWEST_ROWS, AddDelta, AddExpert, AddVector, Operation, OutTensor, ReplaceRows
from .reading import part_bytes

#: How many threads torch uses when nobody says. It matters for the last bit of matrices with less than ``FEWEST_ROWS``.
_THREADS = torch.get_num_threads()
TORCH = {name: getattr(torch, value) for name, value in FLOATS.items()} | {"F64": torch.float64}


@lru_cache(maxsize=6)
def load(part: Part) -> torch.Tensor:
    """Read a tensor of an adapter as fp32, as PEFT does.

    Raises:
        OSError: the file is shorter than its header said a moment ago.
    """
    if part.end == part.start:
        return torch.empty(part.shape, dtype=torch.float32)
    return torch.frombuffer(part_bytes(part), dtype=TORCH[part.dtype]).reshape(part.shape).to(torch.float32)


class Rows:
    """Merges rows of one tensor; made once per tensor and thread."""

    def __init__(self, tensor: OutTensor) -> None:
        self.source, self.dtype = TORCH[tensor.source.dtype], TORCH[tensor.dtype]
        self.working = TORCH[tensor.working or tensor.dtype]
        self.width = tensor.shape[-1] if tensor.shape else 1
        self.steps = [_step(operation) for operation in tensor.operations]

    def merge(self, data: memoryview, first: int, scratch: Scratch) -> tuple[memoryview, bool]:
        """Merge rows.

        Args:
            data: the source's rows, as bytes in the source's type; overwritten where that saves a copy.
            first: the number of the first of them.
            scratch: the thread's buffers.

        Returns:
            The merged rows, as bytes in the tensor's type, and whether no value is NaN or infinite.
        """
        if not data:
            return data, True
        values = torch.frombuffer(data, dtype=self.source).view(-1, self.width).to(self.working)
        for step in self.steps:
            values = step(values, first, scratch)
        values = values.to(self.dtype)
        return memoryview(values.contiguous().view(torch.uint8).view(-1).numpy()), _finite(values)


def _finite(values: torch.Tensor) -> bool:
    """A sum is NaN or infinite when a value is; the reverse is not so for fp16, and then every value is looked at."""
    return bool(values.sum().isfinite()) or bool(values.isfinite().all())


class Scratch:
    """fp32 buffers of one thread, made as large as the largest piece."""

    def __init__(self) -> None:
        torch.set_num_threads(1)  # this thread is one of ours; torch's own would fight for the same cores
        self._memory: dict[str, torch.Tensor] = {}

    def get(self, name: str, rows: int, columns: int) -> torch.Tensor:
        """A buffer [rows, columns] whose content is undefined; the same memory for the same name."""
        held = self._memory.get(name)
        if held is None or held.numel() < rows * columns:
            held = self._memory[name] = torch.empty(rows * columns, dtype=torch.float32)
        return held[: rows * columns].view(rows, columns)


def _step(operation: Operation) -> Callable[[torch.Tensor, int, Scratch], torch.Tensor]:
    if isinstance(operation, AddDelta):
        if operation.magnitude is not None:
            from .dora import dora

            return dora(operation)
        return _linear(operation)
    if isinstance(operation, AddExpert):
        return _expert(operation)
    if isinstance(operation, AddVector):
        return _vector(operation)
    return _rows(operation)


def add_rounded(values: torch.Tensor, delta: torch.Tensor, scratch: Scratch) -> torch.Tensor:
    """``values += delta`` as torch does it for a bf16 or fp16 tensor: in fp32, rounded once. In place."""
    if values.dtype == torch.float32:
        return values.add_(delta)
    wide = scratch.get("wide", *values.shape)
    wide.copy_(values)
    wide.add_(delta)
    return values.copy_(wide)


def _linear(operation: AddDelta) -> Callable[[torch.Tensor, int, Scratch], torch.Tensor]:
    a, b, scaling = load(operation.a), load(operation.b), operation.scaling
    if min(a.shape[1], b.shape[0]) < FEWEST_ROWS:
        return _small(operation, _product(b, a))
    if abs(math.frexp(scaling)[0]) == 0.5:  # a power of two commutes with every rounding, which saves a pass
        b, scaling = b * scaling, 1.0

    def step(values: torch.Tensor, first: int, scratch: Scratch) -> torch.Tensor:
        rows, width = values.shape
        if operation.transposed:
            delta = torch.mm(b, a[:, first : first + rows], out=scratch.get("delta", width, rows)).T
        else:
            delta = torch.mm(b[first : first + rows], a, out=scratch.get("delta", rows, width))
        if scaling != 1.0:
            delta.mul_(scaling)
        if operation.embedding:
            delta = delta.to(values.dtype)
        return add_rounded(values, delta, scratch)

    return step


def _product(b: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """``B @ A`` of a matrix with few rows or columns: whole, and with the threads that PEFT would have used."""
    before = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        return b @ a
    finally:
        torch.set_num_threads(before)


def _small(operation: AddDelta, product: torch.Tensor) -> Callable[[torch.Tensor, int, Scratch], torch.Tensor]:
    product = (product.T if operation.transposed else product) * operation.scaling

    def step(values: torch.Tensor, first: int, scratch: Scratch) -> torch.Tensor:
        delta = product[first : first + values.shape[0]]
        return add_rounded(values, delta.to(values.dtype) if operation.embedding else delta, scratch)

    return step


def _expert(operation: AddExpert) -> Callable[[torch.Tensor, int, Scratch], torch.Tensor]:
    """PEFT: ``einsum('o r e, e r i -> e i o')``, scaled, rounded to W's type, then added."""
    a = load(operation.a).reshape(operation.experts, -1, operation.a.shape[-1])[operation.expert]
    b = load(operation.b).reshape(operation.b.shape[0], -1, operation.experts)[:, :, operation.expert]

    def step(values: torch.Tensor, first: int, scratch: Scratch) -> torch.Tensor:
        rows, width = values.shape
        first += operation.start
        delta = torch.mm(b, a[:, first : first + rows], out=scratch.get("delta", width, rows)).T
        delta = (delta * operation.scaling).to(values.dtype)
        return values.add_(delta)

    return step


def _vector(operation: AddVector) -> Callable[[torch.Tensor, int, Scratch], torch.Tensor]:
    delta = load(operation.values) * operation.scaling
    return lambda values, first, scratch: values.view(-1).add_(delta).view(values.shape)


def _rows(operation: ReplaceRows) -> Callable[[torch.Tensor, int, Scratch], torch.Tensor]:
    new = load(operation.values)

    def step(values: torch.Tensor, first: int, scratch: Scratch) -> torch.Tensor:
        for source, index in enumerate(operation.indices):
            if first <= index < first + values.shape[0]:
                values[index - first] = new[source]
        return values

    return step
