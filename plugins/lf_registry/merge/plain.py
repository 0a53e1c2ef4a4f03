"""The plain case, LoRA on linear layers, in NumPy with torch's matrix product: the same bits without ``import torch``.

The order of the roundings is that of ``arithmetic``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .blas import matrix_product, one_thread
from .checkpoint import Part
from .operations import FEWEST_ROWS, AddDelta, Operation, OutTensor
from .reading import part_bytes

#: Integers of the types' sizes, and their bits when all bits of the exponent are set: infinite or NaN.
_BITS = {"BF16": (np.uint16, 0x7F80), "F16": (np.uint16, 0x7C00), "F32": (np.uint32, 0x7F800000)}


def possible(tensors: list[OutTensor]) -> bool:
    """Whether all of these can be merged here."""
    return all(_is_plain(tensor) for tensor in tensors) and matrix_product() is not None


def _is_plain(tensor: OutTensor) -> bool:
    same = tensor.dtype in _BITS and tensor.dtype == tensor.source.dtype == (tensor.working or tensor.dtype)
    return same and all(_is_linear(operation) for operation in tensor.operations)


def _is_linear(operation: Operation) -> bool:
    if not isinstance(operation, AddDelta) or operation.magnitude or operation.transposed or operation.embedding:
        return False
    return min(operation.a.shape[1], operation.b.shape[0]) >= FEWEST_ROWS and operation.a.shape[0] > 0


@lru_cache(maxsize=6)
def load(part: Part) -> np.ndarray:
    """Read a tensor of an adapter as fp32, as PEFT does.

    Raises:
        OSError: the file is shorter than its header said a moment ago.
    """
    data = part_bytes(part)
    if part.dtype == "BF16":
        wide = np.empty(part.shape, np.float32)
        _widen(np.frombuffer(data, np.uint16).reshape(part.shape), wide)
        return wide
    kind = {"F16": np.float16, "F32": np.float32, "F64": np.float64}[part.dtype]
    return np.frombuffer(data, kind).reshape(part.shape).astype(np.float32, copy=False)


class Scratch:
    """Buffers of one thread, made as large as the largest piece."""

    def __init__(self) -> None:
        one_thread()
        self._memory: dict[str, np.ndarray] = {}

    def get(self, name: str, rows: int, columns: int) -> np.ndarray:
        """A buffer of 4 bytes a value, [rows, columns], whose content is undefined; the same for the same name."""
        held = self._memory.get(name)
        if held is None or held.size < rows * columns:
            held = self._memory[name] = np.empty(rows * columns, np.float32)
        return held[: rows * columns].reshape(rows, columns)


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
        kind, infinite = _BITS[self.dtype]
        bits = np.frombuffer(data, kind).reshape(-1, self.width)
        with np.errstate(all="ignore"):  # what becomes infinite is found at the end
            for step in self.steps:
                self._add(bits, step(first, len(bits), scratch), scratch)
            spare = scratch.get("delta", *bits.shape).view(kind)[:, : self.width]
            return data, bool(np.bitwise_and(bits, infinite, out=spare).max() < infinite)

    def _add(self, bits: np.ndarray, delta: np.ndarray, scratch: Scratch) -> None:
        """Add in fp32 and round once; in place, and ``delta`` is overwritten."""
        if self.dtype == "F32":
            np.add(bits.view(np.float32), delta, out=bits.view(np.float32))
            return
        wide = scratch.get("wide", *bits.shape)
        if self.dtype == "F16":
            np.add(bits.view(np.float16), delta, out=wide)
            np.copyto(bits.view(np.float16), wide, casting="unsafe")
        else:
            _widen(bits, wide)
            np.add(wide, delta, out=wide)
            _narrow(wide, bits, delta)


def _step(operation: AddDelta) -> Callable[[int, int, Scratch], np.ndarray]:
    a, b, scaling = load(operation.a), load(operation.b), operation.scaling
    if abs(math.frexp(scaling)[0]) == 0.5:  # a power of two commutes with every rounding, which saves a pass
        b, scaling = b * np.float32(scaling), 1.0
    product = matrix_product()
    assert product is not None  # ``possible`` said so

    def delta(first: int, rows: int, scratch: Scratch) -> np.ndarray:
        out = scratch.get("delta", rows, a.shape[1])
        product(b[first : first + rows], a, out)
        return out if scaling == 1.0 else np.multiply(out, np.float32(scaling), out=out)

    return delta


def _widen(bf16: np.ndarray, wide: np.ndarray) -> None:
    """Bf16 is the upper half of fp32."""
    bits = wide.view(np.uint32)
    np.copyto(bits, bf16)
    np.left_shift(bits, 16, out=bits)


def _narrow(wide: np.ndarray, bf16: np.ndarray, spare: np.ndarray) -> None:
    """Round fp32 to bf16, to the nearest and ties to even; ``wide`` and ``spare`` are overwritten.

    Half of the last place that stays is added, less a bit when that place is even. A carry into the exponent is right.
    """
    if np.isnan(wide.max()):  # the sum would turn some NaN into a number
        np.putmask(wide, np.isnan(wide), np.float32(np.nan))
    bits, odd = wide.view(np.uint32), spare.view(np.uint32)
    np.right_shift(bits, 16, out=odd)
    np.bitwise_and(odd, 1, out=odd)
    np.add(bits, odd, out=bits)
    np.add(bits, 0x7FFF, out=bits)
    np.right_shift(bits, 16, out=bf16, casting="unsafe")
