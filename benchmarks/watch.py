"""What watching a training costs (``LF_REGISTRY_WATCH=1``), beside a run without it.

    python benchmarks/watch.py [ROUNDS]

A tiny Llama trains on this CPU in one process. Blocks of steps alternate without, with, with, without the callback
(eight fake GPUs, one sample a second), so that a machine that gets slower or faster in between disturbs both alike; the
median step of each kind and their ratio are printed. A shared machine's steps differ by more than what is measured, so
what it costs at most is also counted: the callback's own time a step, and the CPU time of the sampling thread, as if
the training stood still for all of it. The same count stands in the last line of every ``hardware_log.jsonl``
(``cpu_seconds``); that is the figure of a machine with real GPUs.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "fake_nvml"))
os.environ["FAKE_NVML"] = json.dumps({"gpus": [{}] * 8})
STEPS, INTERVAL = 40, 1.0

import torch  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, TrainerControl  # noqa: E402

from lf_registry.watch import LOG, draw  # noqa: E402
from lf_registry.watch.callback import WatchCallback  # noqa: E402
from lf_registry.watch.log import read_log  # noqa: E402


class Training:
    """Steps of about 0.2 s, with the Trainer's events in the Trainer's order."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=3000, hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=6
        )
        self.model = LlamaForCausalLM(config)
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.ids = torch.randint(0, 3000, (4, 128))

    def step(self) -> None:
        """One optimizer step."""
        self.model(input_ids=self.ids, labels=self.ids).loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def block(self, callback: WatchCallback | None, folder: Path) -> tuple[list[float], list[float]]:
        """(seconds of each step, seconds of the callback at each step)."""
        state = SimpleNamespace(is_world_process_zero=True, global_step=0, max_steps=STEPS, log_history=[])
        arguments = SimpleNamespace(output_dir=str(folder), world_size=1, save_strategy="no")
        control = TrainerControl(should_log=True)
        own = [0.0] * STEPS

        def tell(event: str, number: int = 0) -> None:
            if callback is not None:
                began = time.perf_counter()
                getattr(callback, event)(arguments, state, control)
                own[number] += time.perf_counter() - began

        tell("on_train_begin")
        tell("on_epoch_begin")
        own[0], spent = 0.0, []
        for number in range(STEPS):
            began = time.perf_counter()
            tell("on_step_begin", number)
            self.step()
            state.global_step = number + 1
            tell("on_step_end", number)
            tell("on_log", number)
            spent.append(time.perf_counter() - began)
        tell("on_train_end")
        return spent, own[:-1]


def main(rounds: int) -> None:
    """Measure and print a table."""
    torch.set_num_threads(1)
    draw.draw_all = lambda *arguments: []  # the figures are drawn after the training
    training = Training()
    training.block(None, Path())
    steps: dict[bool, list[float]] = {False: [], True: []}
    own: list[float] = []
    ends: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for _ in range(rounds):
            for watched in (False, True, True, False):
                callback = WatchCallback(INTERVAL, print) if watched else None
                spent, told = training.block(callback, Path(temporary))
                steps[watched] += spent
                own += told if watched else []
        rows, _ = read_log(Path(temporary) / LOG)
        ends = [row for row in rows if row.get("event") == "end"]
        size = (Path(temporary) / LOG).stat().st_size / sum(row["samples"] for row in ends)
    without, watched_step = (statistics.median(steps[kind]) for kind in (False, True))
    sample = sum(row["cpu_seconds"] for row in ends) / sum(row["samples"] for row in ends)
    most = statistics.median(own) / without + sample / INTERVAL
    print(f"step without        {without * 1e3:9.2f} ms   (median of {len(steps[False])})")
    print(f"step with           {watched_step * 1e3:9.2f} ms   ratio {watched_step / without:.4f}")
    print(f"callback a step     {statistics.median(own) * 1e6:9.1f} us")
    print(f"a sample, 8 GPUs    {sample * 1e3:9.2f} ms of CPU, {size:.0f} bytes, every {INTERVAL:g} s")
    print(f"cost at most        {100 * most:9.3f} % of step time")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
