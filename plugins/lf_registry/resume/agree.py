"""All processes save at the same step: the highest request of all of them, known to all one step later.

Each step sends one number through the process group that training uses anyway, and reads the answer to the one before,
which is there long since: nobody waits for it, on a GPU nor on a CPU.
"""

from __future__ import annotations

from typing import Any


class Agreement:
    """The highest number that any process named at the step before.

    Args:
        device: where the process group's backend wants its tensors: the training's device.
    """

    def __init__(self, device: Any) -> None:
        import torch
        import torch.distributed as dist

        self._alone = not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
        self._device = torch.device(device)
        self._stream = None
        if self._device.type == "cuda" and not self._alone:
            self._stream = torch.cuda.Stream(self._device)
        self._running: tuple[Any, Any, Any] | None = None

    def exchange(self, number: int) -> int:
        """Name ``number``, and learn what was agreed on at the step before (alone: at this one).

        Every process calls this once a step.
        """
        if self._alone:
            return number
        agreed = self.finish()
        self._start(number)
        return agreed

    def finish(self) -> int:
        """What the last ``exchange`` will have agreed on; 0 when there was none."""
        if self._running is None:
            return 0
        work, event, value = self._running
        self._running = None
        if event is not None:
            event.synchronize()
        elif work is not None:
            work.wait()
        return int(value.item())

    def _start(self, number: int) -> None:
        import torch
        import torch.distributed as dist

        if self._stream is None:
            value = torch.tensor([number], dtype=torch.int32, device=self._device)
            self._running = (dist.all_reduce(value, dist.ReduceOp.MAX, async_op=True), None, value)
            return
        # On a stream of its own: neither does training wait for this number, nor this number for the CPU.
        with torch.cuda.stream(self._stream):
            value = torch.tensor([number], dtype=torch.int32).pin_memory().to(self._device, non_blocking=True)
            dist.all_reduce(value, dist.ReduceOp.MAX)
            host = torch.empty(1, dtype=torch.int32, pin_memory=True)
            host.copy_(value, non_blocking=True)
            event = torch.cuda.Event()
            event.record(self._stream)
        self._running = (None, event, host)
