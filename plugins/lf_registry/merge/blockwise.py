"""Run a model in fp32 whose weights are stored in less: a block of it is widened while it runs, and only then.

The stored weights stay in their files, mapped; the memory is that of one block, however many the model has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn

_NARROW = (torch.bfloat16, torch.float16)
#: Every weight begins at so many values from the beginning: 64 bytes, a line of the cache.
_ALIGNED = 16


class Widener:
    """Widens blocks of models, all in the same memory: that of the largest."""

    def __init__(self) -> None:
        self._memory = torch.empty(0, dtype=torch.float32)
        self._used = 0

    def attach(self, model: nn.Module) -> None:
        """Let every block of ``model`` run in fp32 from now on."""
        for block in blocks(model):
            if type(block) is nn.Embedding:  # widening the rows that were looked up is the same, and much less
                block.register_forward_hook(lambda module, inputs, output: output.float())
            else:
                _Block(block, self)

    def take(self, count: int) -> torch.Tensor:
        """Memory for ``count`` values; a block that runs inside another one gets its own, behind the other's or new."""
        if self._used + count > len(self._memory):
            if self._used:
                return torch.empty(count, dtype=torch.float32)
            self._memory = torch.empty(0, dtype=torch.float32)  # first let the smaller one go
            self._memory = torch.empty(count, dtype=torch.float32)
        taken = self._memory[self._used : self._used + count]
        self._used += count
        return taken

    def release(self) -> None:
        """Let the memory go, after an error too."""
        self._memory, self._used = torch.empty(0, dtype=torch.float32), 0

    def give_back(self, memory: torch.Tensor) -> None:
        """End the use of what was taken last."""
        if len(memory) and memory.untyped_storage().data_ptr() == self._memory.untyped_storage().data_ptr():
            self._used -= len(memory)


class _Block:
    """One block: its weights are replaced while its ``forward`` runs."""

    def __init__(self, module: nn.Module, widener: Widener) -> None:
        self._widener = widener
        self._memory = torch.empty(0, dtype=torch.float32)
        self._stored: list[tuple[torch.Tensor, torch.Tensor]] = []
        module.register_forward_pre_hook(self._widen)
        module.register_forward_hook(self._restore, always_call=True)

    def _widen(self, module: nn.Module, inputs: Any) -> None:
        tensors = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.dtype in _NARROW]
        sizes = [-tensor.numel() // _ALIGNED * -_ALIGNED for tensor in tensors]
        self._memory = self._widener.take(sum(sizes))
        for tensor, wide in zip(tensors, self._memory.split(sizes), strict=True):
            self._stored.append((tensor, tensor.data))
            tensor.data = wide[: tensor.numel()].view(tensor.shape).copy_(tensor.data)

    def _restore(self, module: nn.Module, inputs: Any, output: Any) -> None:
        for tensor, stored in self._stored:
            tensor.data = stored
        self._stored.clear()
        self._widener.give_back(self._memory)


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that run one after the other and together hold every weight.

    They are the elements of lists (the layers of a model), what PEFT wrapped as a whole, because a wrapper reads the
    weights inside it, and single modules outside of both.
    """
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        elif isinstance(child, BaseTunerLayer | AuxiliaryTrainingWrapper) or any(True for _ in child.parameters(False)):
            yield child
        else:
            yield from blocks(child)
