"""From the names that PEFT sees in memory to the names in the checkpoint's files.

They are the same for most models. Transformers renames some while it loads, and stacks the experts of a mixture into
one parameter; then its own table of conversions is asked (which takes the seconds of importing it, only then).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .checkpoint import Base, Part


@dataclass(frozen=True)
class Slice:
    """The part of a stacked parameter that one tensor of the checkpoint holds.

    Attributes:
        name: the tensor's name in the checkpoint.
        expert: its index in dim 0 of the parameter.
        start: where its rows begin in dim 1.
    """

    name: str
    expert: int
    start: int


@dataclass
class Names:
    """Looks up the checkpoint's tensors by their names in memory."""

    base: Base
    _converted: dict[str, list[tuple[str, str | None]]] | None = field(default=None, repr=False)

    def find(self, parameter: str) -> Part | None:
        """The tensor that becomes ``parameter``, unchanged but for its name; None when there is none."""
        if parameter in self.base.parts:
            return self.base.parts[parameter]
        shorter = parameter.partition(".")[
            2
        ]  # a checkpoint of the body alone: GPT-2 on the Hub has h.0, not transformer.h.0
        if shorter in self.base.parts:
            return self.base.parts[shorter]
        sources = self._conversions().get(parameter, [])
        if len(sources) == 1 and sources[0][1] is None:
            return self.base.parts[sources[0][0]]
        return None

    def in_memory(self, known: Iterable[str]) -> dict[str, Part]:
        """The tensors that become one parameter each, by its name in memory.

        Args:
            known: names in memory; when the checkpoint has them as they are, it has all of them as they are.
        """
        if all(name in self.base.parts or name.partition(".")[2] in self.base.parts for name in known):
            return dict(self.base.parts)
        plain = [(name, of[0]) for name, of in self._conversions().items() if len(of) == 1]
        return {name: self.base.parts[source] for name, (source, pattern) in plain if pattern is None}

    def slices(self, parameter: str) -> list[Slice]:
        """The tensors that are stacked (dim 0) and joined (dim 1) into ``parameter``; empty when there are none."""
        sources = self._conversions().get(parameter, [])
        converter = self._converter(sources)
        if converter is None:
            return []
        found = []
        columns: dict[str, list[str]] = {pattern: [] for pattern in converter.source_patterns}
        for name, pattern in sources:
            columns[pattern or ""].append(name)
        for names in columns.values():
            names.sort(key=_natural)
        starts = [0] * max(map(len, columns.values()))
        for names in columns.values():
            for expert, name in enumerate(names):
                found.append(Slice(name, expert, starts[expert]))
                starts[expert] += self.base.parts[name].shape[0]
        return found

    def _converter(self, sources: list[tuple[str, str | None]]) -> Any:
        """The conversion behind ``sources`` when it stacks on dim 0 and joins on dim 1; None otherwise."""
        from transformers.core_model_loading import Concatenate, MergeModulelist

        for converter in self._tables()[1]:
            if sources and sources[0][1] in converter.source_patterns:
                ways = [(type(operation), operation.dim) for operation in converter.operations]
                if ways in ([(MergeModulelist, 0)], [(MergeModulelist, 0), (Concatenate, 1)]):
                    return converter
        return None

    def _conversions(self) -> dict[str, list[tuple[str, str | None]]]:
        """Name in memory -> the checkpoint's tensors, each with the pattern that matched it."""
        if self._converted is None:
            from transformers.core_model_loading import rename_source_key

            renamings, converters = self._tables()
            self._converted = {}
            for name in self.base.parts:
                renamed, pattern = rename_source_key(name, renamings, converters)
                self._converted.setdefault(renamed, []).append((name, pattern))
        return self._converted

    def _tables(self) -> tuple[list[Any], list[Any]]:
        from transformers.conversion_mapping import get_checkpoint_conversion_mapping
        from transformers.core_model_loading import WeightConverter

        table = get_checkpoint_conversion_mapping(self.base.config.get("model_type", "")) or []
        converters = [entry for entry in table if isinstance(entry, WeightConverter)]
        return [entry for entry in table if not isinstance(entry, WeightConverter)], converters


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(piece)) if piece.isdigit() else (1, piece) for piece in re.split(r"(\d+)", name)]
