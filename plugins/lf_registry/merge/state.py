"""The merged model's tensors while adapters are applied to them, one change after the other."""

from __future__ import annotations

from dataclasses import replace

from .adapter import WEIGHTS, Adapter
from .adapter_config import FILE as ADAPTER_CONFIG
from .changes import Change, Experts, Lora, Replace, Tokens
from .checkpoint import FLOATS, Base, Part
from .experts import expert_operations
from .names import Names
from .operations import AddDelta, AddVector, Operation, OutTensor, ReplaceRows
from .tied import Tie, find_tie, is_vocabulary

#: Transformers' models that store the weights of these modules transposed (``transformers.pytorch_utils.Conv1D``).
_CONV1D_MODELS = ("gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp")
_CONV1D_MODULES = ("c_attn", "c_proj", "c_fc", "q_attn")


class State:
    """The merged model's tensors while adapters are applied to them."""

    def __init__(self, base: Base, dtype: str | None) -> None:
        self.base, self.names = base, Names(base)
        self.tensors = {
            name: OutTensor(
                name, dtype if dtype and part.dtype in FLOATS else part.dtype, part.shape, part, (), part.dtype
            )
            for name, part in base.parts.items()
        }
        self.tie: Tie | None = find_tie(base)
        if self.tie and not self.tie.stored:
            self.tensors[self.tie.head] = replace(self.tensors[self.tie.embedding], name=self.tie.head)
        self.problems: list[str] = []
        self.notes: list[str] = []

    def apply(self, adapter: Adapter, change: Change) -> None:
        """Apply one change, or note why it does not fit."""
        if isinstance(change, Lora):
            self._lora(adapter, change)
        elif isinstance(change, Replace):
            self._replace(adapter, change)
        elif isinstance(change, Tokens):
            self._tokens(adapter, change)
        else:
            self._experts(adapter, change)

    def _target(self, adapter: Adapter, parameter: str, part: Part) -> OutTensor | None:
        name = self._name(parameter)
        if name is not None:
            return self.tensors[name]
        self.problems.append(
            f"{adapter.folder / WEIGHTS}: {part.name!r} is for {parameter!r}, which {self.base.folder} does not have"
        )
        return None

    def _name(self, parameter: str) -> str | None:
        if self.tie and parameter == self.tie.head:
            return self.tie.head
        part = self.names.find(parameter)
        return part.name if part else None

    def _add(self, tensor: OutTensor, operation: Operation) -> None:
        if tensor.dtype not in FLOATS:
            self.problems.append(
                f"{tensor.source.path}: tensor {tensor.name!r} is {tensor.dtype}; deltas are added only to "
                f"{', '.join(FLOATS)}"
            )
        self.tensors[tensor.name] = replace(tensor, operations=(*tensor.operations, operation))

    def _misfit(self, adapter: Adapter, part: Part, tensor: OutTensor, rows: str = "") -> None:
        self.problems.append(
            f"{adapter.folder / WEIGHTS}: {part.name!r} {list(part.shape)} does not fit {tensor.name!r} "
            f"{list(tensor.shape)} of {self.base.folder}{rows}: the adapter was trained on another base"
        )

    def _lora(self, adapter: Adapter, change: Lora) -> None:
        tensor = self._target(adapter, f"{change.module}.weight", change.a)
        if tensor is None:
            return
        inner, outer = change.a.shape[1], change.b.shape[0]
        transposed = change.embedding or self._conv1d(change.module)
        if tensor.shape != ((inner, outer) if transposed else (outer, inner)):
            return self._misfit(adapter, change.a if inner not in tensor.shape else change.b, tensor)
        for part in (change.magnitude, change.bias):
            if part is not None and part.shape != (outer,):
                return self._misfit(adapter, part, tensor)
        if change.bias is not None:
            bias = self._target(adapter, f"{change.module}.bias", change.bias)
            if bias is not None:
                self._add(bias, AddVector(change.bias, change.scaling))
        self._add(tensor, AddDelta(change.a, change.b, change.scaling, transposed, change.magnitude, change.embedding))

    def _conv1d(self, module: str) -> bool:
        return self.base.config.get("model_type") in _CONV1D_MODELS and module.endswith(_CONV1D_MODULES)

    def _replace(self, adapter: Adapter, change: Replace) -> None:
        tensor = self._target(adapter, change.parameter, change.part)
        if tensor is None:
            return
        names = [tensor.name]
        if self.tie and not change.own and tensor.name in (self.tie.embedding, self.tie.head):
            names = [self.tie.embedding, self.tie.head]
        resizes = len(tensor.shape) == 2 and tensor.shape[1:] == change.part.shape[1:]
        if change.part.shape != tensor.shape and not (resizes and is_vocabulary(tensor.name)):
            return self._misfit(adapter, change.part, tensor)
        for name in names:
            self.tensors[name] = replace(
                self.tensors[name], shape=change.part.shape, source=change.part, operations=(), trained=True
            )

    def _tokens(self, adapter: Adapter, change: Tokens) -> None:
        tensor = self._target(adapter, f"{change.module}.weight", change.part)
        if tensor is None:
            return
        if any(isinstance(other, Lora) and other.module == change.module for other in adapter.changes):
            self.problems.append(
                f"{adapter.folder / ADAPTER_CONFIG}: trainable_token_indices: {change.module!r} has LoRA too; only "
                "one of both can be merged, because PEFT's own order of the two is not defined"
            )
        if (
            len(tensor.shape) != 2
            or change.part.shape[1:] != tensor.shape[1:]
            or max(change.indices, default=0) >= tensor.shape[0]
        ):
            return self._misfit(adapter, change.part, tensor, f", rows {list(change.indices)[:5]}")
        if len(set(change.indices)) != len(change.indices):
            self.problems.append(
                f"{adapter.folder / ADAPTER_CONFIG}: trainable_token_indices: an index stands there twice"
            )
        names = [tensor.name]
        if self.tie and tensor.name == self.tie.embedding:
            names.append(self.tie.head)
        for name in names:
            self._add(self.tensors[name], ReplaceRows(change.part, change.indices))

    def _experts(self, adapter: Adapter, change: Experts) -> None:
        found, problem = expert_operations(adapter, change, self.names)
        if problem:
            self.problems.append(problem)
        for name, operation in found:
            self._add(self.tensors[name], operation)

    def finish(self) -> dict[str, object]:
        """Drop the output layer when it is still tied; returns the keys of ``config.json`` that change."""
        config: dict[str, object] = {}
        if self.tie:
            if not self.tie.holds(self.tensors, self.base):
                config["tie_word_embeddings"] = False
                self.notes.append(
                    "the adapter changed only one of the two tied embeddings, so they are saved apart "
                    "(tie_word_embeddings: false)"
                )
            elif not self.tie.stored:
                del self.tensors[self.tie.head]
        vocabularies = {name: tensor.shape[0] for name, tensor in self.tensors.items() if is_vocabulary(name)}
        changed = {
            rows for name, rows in vocabularies.items() if (rows, *self.tensors[name].shape[1:]) != self._before(name)
        }
        if changed and len(set(vocabularies.values())) > 1:
            sizes = ", ".join(f"{name} {rows:,}" for name, rows in vocabularies.items())
            self.problems.append(f"the resized vocabularies do not agree: {sizes}; the adapter must save both layers")
        elif changed:
            config["vocab_size"] = changed.pop()
        return config

    def _before(self, name: str) -> tuple[int, ...]:
        tied = self.tie.embedding if self.tie and name == self.tie.head else name
        return self.base.parts[name if name in self.base.parts else tied].shape
