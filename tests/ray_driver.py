"""LLaMA-Factory's Ray mode on a CPU: it reserves ten CPUs for a worker, which no small machine has; here one is enough.

Nothing else of it is changed, and nothing at all in the workers, which Ray starts as fresh interpreters.
"""

from __future__ import annotations

import sys

from llamafactory.train import tuner
from ray.util.placement_group import placement_group

asked = tuner.get_ray_remote_config_for_worker


def one_cpu_each(count: int) -> tuple:
    return placement_group([{"CPU": 1}] * count, strategy="PACK"), {"CPU": 1}


def with_one_cpu(**what) -> dict:
    return asked(**what) | {"num_cpus": 1}


if __name__ == "__main__":
    tuner.get_placement_group = one_cpu_each
    tuner.get_ray_remote_config_for_worker = with_one_cpu
    sys.argv = ["train", *sys.argv[1:]]
    tuner.run_exp()
