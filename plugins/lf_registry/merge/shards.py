"""The merged model's weight files: which tensors, in what order, at which bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from ..safetensors_format import DTYPE_BITS
from .checkpoint import SINGLE, Base
from .operations import OutTensor


@dataclass(frozen=True)
class OutShard:
    """One weight file.

    Attributes:
        file: its name.
        header: its first bytes: the length, then the JSON.
        tensors: in the order of their bytes, without gaps.
    """

    file: str
    header: bytes
    tensors: tuple[OutTensor, ...]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.header) + sum(tensor.size for tensor in self.tensors)

    def placed(self) -> Iterator[tuple[OutTensor, int]]:
        """The tensors, each with the byte of the file where it begins."""
        place = len(self.header)
        for tensor in self.tensors:
            yield tensor, place
            place += tensor.size


def shards(base: Base, tensors: Mapping[str, OutTensor], most: int | None) -> Iterator[OutShard]:
    """Lay out the files: as in the base; a file above ``most`` bytes makes all of them be dealt out again."""
    groups: dict[str, list[OutTensor]] = {file: [] for file in base.headers}
    for name, tensor in tensors.items():
        last = list(groups)[-1]  # a tensor that the base does not have: an output layer that was tied
        groups[base.parts[name].path.name if name in base.parts else last].append(tensor)
    metadata = next(iter(base.headers.values())).metadata or {"format": "pt"}
    if most is not None and any(sum(tensor.size for tensor in group) > most for group in groups.values()):
        groups = _dealt(list(tensors.values()), most)
    for file, group in groups.items():
        known = base.headers.get(file)
        yield OutShard(file, header_bytes(group, known.metadata if known else metadata), tuple(group))


def _dealt(tensors: list[OutTensor], most: int) -> dict[str, list[OutTensor]]:
    groups: list[list[OutTensor]] = [[]]
    room = most
    for tensor in tensors:
        if groups[-1] and tensor.size > room:
            groups.append([])
            room = most
        groups[-1].append(tensor)
        room -= tensor.size
    if len(groups) == 1:
        return {SINGLE: groups[0]}
    return {f"model-{i:05d}-of-{len(groups):05d}.safetensors": group for i, group in enumerate(groups, 1)}


def header_bytes(tensors: list[OutTensor], metadata: Mapping[str, str]) -> bytes:
    """The length and the JSON of a safetensors file, padded with spaces to 8 bytes, as the format describes it."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for tensor in tensors:
        size = prod(tensor.shape) * DTYPE_BITS[tensor.dtype] // 8
        entries[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [place, place + size],
        }
        place += size
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
