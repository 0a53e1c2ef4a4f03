"""The plan of a merge, a pure function: headers and adapters in, every byte range of the merged model out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from .adapter import Adapter
from .checkpoint import FLOATS, Base
from .complete import missing_modules
from .operations import OutTensor
from .shards import OutShard, shards
from .state import State


@dataclass(frozen=True)
class Plan:
    """What the merged model will be.

    Attributes:
        base: the base model's folder.
        shards: its weight files.
        config: the keys of ``config.json`` that change.
        notes: what the user should know.
    """

    base: Path
    shards: tuple[OutShard, ...]
    config: dict[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all weight files."""
        return sum(shard.size for shard in self.shards)

    @property
    def tensors(self) -> list[OutTensor]:
        """All tensors in the order of the files."""
        return [tensor for shard in self.shards for tensor in shard.tensors]


def make_plan(
    base: Base, adapters: Sequence[Adapter], *, dtype: str | None = None, max_shard_size: int | None = None
) -> Plan:
    """Plan a merge.

    Args:
        base: the model.
        adapters: merged one after the other, each onto the result of the one before.
        dtype: the safetensors name of the result's type; the checkpoint's own types when left out. The result
            is converted at the end, as ``llamafactory-cli export`` does it.
        max_shard_size: bytes; files of the base that are larger are split.

    Raises:
        UserError: lists every tensor that does not fit.
    """
    state = State(base, dtype)
    for adapter in adapters:
        state.problems += missing_modules(state.names, adapter)
        for change in adapter.changes:
            state.apply(adapter, change)
    config = state.finish()
    if state.problems:
        most = state.problems[:12]
        more = [f"... and {len(state.problems) - 12} more"] if len(state.problems) > 12 else []
        raise UserError(most + more, hint="merge into the base the adapter was trained on: --base HUB_ID_OR_FOLDER")
    if dtype is not None:
        key = "torch_dtype" if "torch_dtype" in base.config and "dtype" not in base.config else "dtype"
        config[key] = FLOATS[dtype]
    notes = tuple(note for adapter in adapters for note in adapter.notes) + tuple(state.notes)
    return Plan(base.folder, tuple(shards(base, state.tensors, max_shard_size)), config, notes)
