"""The plain case, LoRA on linear layers, in NumPy and torch's library: the same bits without ``import torch``.

The order of the roundings is that of ``arithmetic``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from . import aten
from .aten import View
from .checkpoint import Part
from .operations import FEWEST_ROWS, AddDelta, Operation, OutTensor
from .reading import part_bytes

#: Integers of the types' sizes, without and with a sign, and the bits of infinity.
_BITS = {
    "BF16": (np.uint16, np.int16, 0x7F80),
    "F16": (np.uint16, np.int16, 0x7C00),
    "F32": (np.uint32, np.int32, 0x7F800000),
}
_ARRAYS = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32, "F64": np.float64}


def possible(tensors: list[OutTensor]) -> bool:
    """Whether all of these can be merged here."""
    return all(_is_plain(tensor) for tensor in tensors) and aten.available()


def _is_plain(tensor: OutTensor) -> bool:
    same = tensor.dtype in _BITS and tensor.dtype == tensor.source.dtype == (tensor.working or tensor.dtype)
    return same and all(_is_linear(operation) for operation in tensor.operations)


def _is_linear(operation: Operation) -> bool:
    if not isinstance(operation, AddDelta) or operation.magnitude or operation.transposed or operation.embedding:
        return False
    return min(operation.a.shape[1], operation.b.shape[0]) >= FEWEST_ROWS and operation.a.shape[0] > 0


@lru_cache(maxsize=6)
def load(part: Part) -> View:
    """Read a tensor of an adapter as fp32, as PEFT does.

    Raises:
        OSError: the file is shorter than its header said a moment ago.
    """
    values = View(np.frombuffer(part_bytes(part), _ARRAYS[part.dtype]).reshape(part.shape), part.dtype)
    if part.dtype == "F32":
        return values
    wide = View(np.empty(part.shape, np.float32))
    aten.convert(values, wide)
    return wide


class Scratch:
    """Buffers of one thread, made as large as the largest piece."""

    def __init__(self) -> None:
        aten.one_thread()
        self._memory: dict[str, np.ndarray] = {}
        self._views: dict[tuple[int, tuple[int, ...], str], View] = {}

    def get(self, name: str, rows: int, columns: int) -> View:
        """An fp32 buffer [rows, columns] whose content is undefined; the same memory for the same name."""
        held = self._memory.get(name)
        if held is None or held.size < rows * columns:
            held = self._memory[name] = np.empty(rows * columns, np.float32)
            self._views.clear()  # they would keep the smaller one
        return self.view(held[: rows * columns].reshape(rows, columns), "F32")

    def view(self, array: np.ndarray, dtype: str) -> View:
        """The array as a tensor; kept, because most pieces have the memory and the shape of the one before."""
        key = (array.ctypes.data, array.shape, dtype)
        if key not in self._views:
            self._views[key] = View(array, dtype)
        return self._views[key]


class Rows:
    """Merges rows of one tensor; made once per tensor and thread."""

    def __init__(self, tensor: OutTensor) -> None:
        self.dtype = tensor.dtype
        self.width = tensor.shape[-1] if tensor.shape else 1
        self.steps = [_step(operation) for operation in tensor.operations if isinstance(operation, AddDelta)]

    def merge(self, data: memoryview, first: int, scratch: Scratch) -> tuple[memoryview, bool]:
        """Merge rows in place.

        Args:
            data: the source's rows, as bytes; overwritten.
            first: the number of the first of them.
            scratch: the thread's buffers.

        Returns:
            The merged rows, as bytes, and whether no value is NaN or infinite.
        """
        if not data:
            return data, True
        kind, signed, infinite = _BITS[self.dtype]
        bits = np.frombuffer(data, kind).reshape(-1, self.width)
        values = scratch.view(bits, self.dtype)
        with np.errstate(all="ignore"):  # what becomes infinite is found at the end
            for step in self.steps:
                _add(values, step(first, len(bits), scratch), scratch)
        # Without its sign bit, what is infinite or NaN is the largest integer. Signed integers show the largest
        # positive value, those without a sign the largest negative one.
        sign = np.iinfo(signed).max + 1
        return data, bool(bits.view(signed).max() < infinite and bits.max() < (infinite | sign))


def _add(values: View, delta: View, scratch: Scratch) -> None:
    """Add in fp32 and round once; in place."""
    wide = values if values.array.dtype.itemsize == 4 else scratch.get("wide", *values.array.shape)
    if wide is not values:
        aten.convert(values, wide)
    sums = wide.array.view(np.float32)
    np.add(sums, delta.array, out=sums)
    if wide is not values:
        aten.convert(wide, values)


def _step(operation: AddDelta) -> Callable[[int, int, Scratch], View]:
    a, b, scaling = load(operation.a), load(operation.b).array, operation.scaling
    if abs(math.frexp(scaling)[0]) == 0.5:  # a power of two commutes with every rounding, which saves a pass
        with np.errstate(all="ignore"):
            b, scaling = b * np.float32(scaling), 1.0

    def delta(first: int, rows: int, scratch: Scratch) -> View:
        out = scratch.get("delta", rows, a.array.shape[1])
        aten.product(View(b[first : first + rows]), a, out)
        if scaling != 1.0:
            np.multiply(out.array, np.float32(scaling), out=out.array)
        return out

    return delta
