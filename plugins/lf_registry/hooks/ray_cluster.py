"""Hook on ``llamafactory.train.tuner``: Ray mode on nodes that can never give what LLaMA-Factory reserves.

It reserves one GPU and ten CPUs for each GPU of the whole Ray cluster, and waits for them without a word. A node with
eight CPUs a GPU, which are common for rent, waits for ever while it is paid for.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from ..errors import UserError

#: CPUs of a bundle in ``llamafactory.train.trainer_utils.get_placement_group``; ``tests/test_ray.py`` compares.
CPUS = 10


def apply(module: ModuleType) -> None:
    """Look at the nodes before LLaMA-Factory reserves."""
    original = module.get_placement_group

    @functools.wraps(original)
    def get_placement_group(num_workers: int) -> Any:
        check_nodes(module.ray.nodes(), module.get_device_name().upper())
        return original(num_workers)

    module.get_placement_group = get_placement_group


def check_nodes(nodes: Sequence[dict[str, Any]], device: str) -> None:
    """Compare what each node has with what will be reserved on it.

    Args:
        nodes: what ``ray.nodes()`` returns.
        device: Ray's name of the device that trains: GPU, NPU, ... or CPU when there is none.

    Raises:
        UserError: a node has too few CPUs, or there is nothing to train on but CPUs.
    """
    if device == "CPU":
        raise UserError(
            f"USE_RAY: LLaMA-Factory's Ray mode needs a GPU: without one it reserves {CPUS} CPUs for each CPU of the "
            "cluster, and waits for them for ever",
            hint="leave USE_RAY out; torchrun trains on CPUs",
        )
    problems, most = [], 0
    for node in nodes:
        has = node.get("Resources", {})
        count, cpus = int(has.get(device, 0)), int(has.get("CPU", 0))
        if node.get("Alive") and cpus < CPUS * count:
            most = max(most, CPUS * count)
            problems.append(
                f"USE_RAY: the Ray node {node.get('NodeManagerAddress')} has {cpus} CPUs for its {count} {device}s; "
                f"LLaMA-Factory reserves {CPUS} for each and would wait for ever"
            )
    if problems:
        raise UserError(
            problems,
            hint=f"tell Ray another number (it only keeps the books): ray start ... --num-cpus {most}, or in the "
            f"recipe, when LLaMA-Factory starts Ray by itself: ray_init_kwargs: {{num_cpus: {most}}}",
        )
