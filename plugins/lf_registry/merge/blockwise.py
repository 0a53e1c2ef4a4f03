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


class Widener:
    """Widens blocks of models; the buffers are used again by the next block, and by the next model."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[int, torch.Size], torch.Tensor] = {}

    def attach(self, model: nn.Module) -> None:
        """Let every block of ``model`` run in fp32 from now on."""
        for block in blocks(model):
            if type(block) is nn.Embedding:  # widening the rows that were looked up is the same, and much less
                block.register_forward_hook(lambda module, inputs, output: output.float())
            else:
                _Block(block, self._buffers)


class _Block:
    """One block: its weights are replaced while its ``forward`` runs.

    Args:
        module: the block.
        buffers: by the place in a block and the shape.
    """

    def __init__(self, module: nn.Module, buffers: dict[tuple[int, torch.Size], torch.Tensor]) -> None:
        self._buffers = buffers
        self._stored: list[tuple[torch.Tensor, torch.Tensor]] = []
        module.register_forward_pre_hook(self._widen)
        module.register_forward_hook(self._restore, always_call=True)

    def _widen(self, module: nn.Module, inputs: Any) -> None:
        tensors = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.dtype in _NARROW]
        for i, tensor in enumerate(tensors):
            key = (i, tensor.shape)
            if key not in self._buffers:
                self._buffers[key] = torch.empty(tensor.shape, dtype=torch.float32)
            self._stored.append((tensor, tensor.data))
            tensor.data = self._buffers[key].copy_(tensor.data)

    def _restore(self, module: nn.Module, inputs: Any, output: Any) -> None:
        for tensor, stored in self._stored:
            tensor.data = stored
        self._stored.clear()


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
