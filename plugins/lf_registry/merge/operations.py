"""What can happen to a tensor on its way from the base to the merged model: plain data, made by the plan."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ..safetensors_format import DTYPE_BITS
from .checkpoint import Part

#: No piece has fewer rows, unless the tensor has fewer: below 16 the BLAS library takes another kernel.
FEWEST_ROWS = 32


@dataclass(frozen=True)
class AddDelta:
    """``W + scaling * B @ A`` (Linear) or its transpose (Conv1D, embedding); with ``magnitude`` DoRA.

    Attributes:
        a, b: [r, in] and [out, r].
        scaling: the factor.
        transposed: W is stored [in, out].
        magnitude: DoRA's norms, [out].
        embedding: PEFT rounds an embedding's delta to W's type before it adds it.
    """

    a: Part
    b: Part
    scaling: float
    transposed: bool = False
    magnitude: Part | None = None
    embedding: bool = False


@dataclass(frozen=True)
class AddExpert:
    """One expert's share of a stacked parameter's delta, rows ``start`` and following of dim 1."""

    a: Part
    b: Part
    scaling: float
    expert: int
    experts: int
    start: int


@dataclass(frozen=True)
class AddVector:
    """``bias + scaling * lora_B.bias``."""

    values: Part
    scaling: float


@dataclass(frozen=True)
class ReplaceRows:
    """Rows of an embedding that take the trained values."""

    values: Part
    indices: tuple[int, ...]


Operation = AddDelta | AddExpert | AddVector | ReplaceRows


@dataclass(frozen=True)
class OutTensor:
    """One tensor of the merged model.

    Attributes:
        name, dtype, shape: as they stand in its header.
        source: the bytes it starts from, of the base or of an adapter.
        operations: what is done to them, in this order, each rounded to ``dtype``.
        working: the type in which operations are done, the base's; the result is converted from it at the end.
        trained: the source is an adapter's, so that its values are looked at while they are copied.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    source: Part
    operations: tuple[Operation, ...] = ()
    working: str | None = None
    trained: bool = False

    @property
    def size(self) -> int:
        """Bytes in the merged model."""
        return prod(self.shape) * DTYPE_BITS[self.dtype] // 8

    @property
    def copied(self) -> bool:
        """Whether the kernel may copy the bytes: they are the base's, and they are the result."""
        return not self.operations and not self.trained and self.source.dtype == self.dtype

    @property
    def whole(self) -> bool:
        """Whether its rows cannot be merged in pieces."""
        return any(_needs_all(operation, self.shape[-1] if self.shape else 1) for operation in self.operations)


def _needs_all(operation: Operation, width: int) -> bool:
    if isinstance(operation, AddVector):
        return True
    if isinstance(operation, AddDelta) and operation.magnitude is not None and operation.transposed:
        return True  # the norms run over the columns
    return isinstance(operation, AddDelta | AddExpert) and width < FEWEST_ROWS
