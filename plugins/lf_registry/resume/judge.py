"""Whether a checkpoint is whole, from what every node sees of it. Pure: nothing is read here.

The order of a save decides what a missing file means. Transformers 5.5 writes the weights, then DeepSpeed its
partitions and the file ``latest``, then every process its random state, then the first process
``trainer_state.json``, and then it deletes old checkpoints. So a folder without ``trainer_state.json`` is a save that
was stopped, and a folder with it is whole up to the random states of the other processes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .look import STATE, Look, look, step_of

_PARTITION = re.compile(r"(?:bf16_)?zero_pp_rank_(\d+)_mp_rank_(\d+)_?(optim|model)_states\.pt$")
_WHOLE_MODEL = re.compile(r"mp_rank_(\d+)_model_states\.pt$")
_RANDOM = re.compile(r"rng_state_(\d+)\.pth$")
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "model.safetensors", "pytorch_model.bin")
_OPTIMIZERS = ("optimizer.pt", "optimizer.bin")


@dataclass(frozen=True)
class Verdict:
    """What is known about a checkpoint.

    Attributes:
        problems: why it cannot be resumed from; empty: it can. One sentence each, beginning with the file.
        deepspeed: it holds DeepSpeed's partitions.
        weights_only: it was saved without optimizer (``save_only_model: true``).
        has_weights: the adapter or model is there as one whole, not only as partitions.
        world_size: by how many processes it was saved; None when that cannot be told.
        zero: the optimizer is split, so that another number of processes cannot load it.
    """

    problems: tuple[str, ...]
    deepspeed: bool = False
    weights_only: bool = False
    has_weights: bool = False
    world_size: int | None = None
    zero: bool = False


def validate(checkpoint: Path) -> list[str]:
    """All problems of a checkpoint on this machine; none: it can be resumed from.

    Raises:
        UserError: a file cannot be read, so that nothing can be said.
    """
    return list(judge(checkpoint.name, [look(checkpoint)]).problems)


def judge(name: str, looks: Sequence[Look]) -> Verdict:
    """Judge the checkpoint ``name`` (``checkpoint-20``) from what each node sees of it.

    Nodes with disks of their own hold the partitions of their own processes, so what counts is the union.
    """
    names = frozenset().union(*(seen.names for seen in looks))
    problems = [f"{file} {wrong}" for seen in looks for file, wrong in sorted(seen.damaged.items())]
    problems = list(dict.fromkeys(problems))
    state = next((seen for seen in looks if STATE in seen.names), None)
    if state is None:
        problems.append(f"{STATE} is missing: it is written last, so the save was not finished")
    elif STATE not in state.damaged and state.step != step_of(name):
        problems.append(f"{STATE} is of step {state.step}, not of step {step_of(name)}")
    shards = frozenset().union(*(seen.shards for seen in looks))
    problems += [f"{file} is missing, which the weight index names" for file in sorted(shards - names)]
    has_weights = bool(shards) or any(file.rsplit("/", 1)[-1] in _WEIGHTS for file in names)
    tag = next((seen.tag for seen in looks if seen.tag is not None), None)
    deepspeed = tag is not None or any(file.startswith("global_step") for file in names)
    sharded = {file.split("/")[0] for file in names if file.endswith(".distcp")}  # PyTorch FSDP
    weights_only = not deepspeed and not sharded and not any(file in names for file in _OPTIMIZERS)
    problems += [
        f"{folder}/.metadata is missing: it is written last"
        for folder in sorted(sharded)
        if f"{folder}/.metadata" not in names
    ]
    random = {int(match[1]) for file in names if (match := _RANDOM.match(file))}
    # One process alone writes rng_state.pth, so a number in the name means at least two.
    world_size = max(2, max(random) + 1) if random else 1 if "rng_state.pth" in names else None
    zero = False
    if deepspeed:
        split, zero, missing = _partitions(tag, names, world_size)
        problems += missing
        world_size = max(world_size or 0, split) or None
    elif not has_weights and not sharded:
        problems.append("there are no weights in it")
    if not deepspeed and not weights_only and "scheduler.pt" not in names:
        problems.append("scheduler.pt is missing: without it the optimizer is not loaded either")
    if not weights_only:
        if world_size is None:
            problems.append("rng_state.pth is missing: the random state, without which the run would go on differently")
        elif world_size > 1:
            problems += [
                f"rng_state_{rank}.pth is missing: the random state of process {rank}"
                for rank in range(world_size)
                if rank not in random
            ]
    return Verdict(tuple(problems), deepspeed, weights_only, has_weights, world_size, zero)


def _partitions(tag: str | None, names: frozenset[str], world_size: int | None) -> tuple[int, bool, list[str]]:
    """DeepSpeed's files: (processes that they are split over, 0 if not split; whether split; problems)."""
    if tag is None:
        return 0, False, ["latest is missing: DeepSpeed writes it after the partitions, so the save was not finished"]
    inside = [file.split("/", 1)[1] for file in names if file.startswith(f"{tag}/")]
    if not tag or not inside:
        return 0, False, [f"latest names {tag or 'nothing'!r}, and there is no such folder with partitions"]
    places: dict[str, set[tuple[int, int]]] = {"optim": set(), "model": set()}
    for file in inside:
        if match := _PARTITION.match(file):
            places[match[3]].add((int(match[1]), int(match[2])))
    every = places["optim"] | places["model"]
    whole = {int(match[1]) for file in inside if (match := _WHOLE_MODEL.match(file))}
    if not every:
        return 0, False, [] if whole else [f"{tag} holds no model and optimizer states"]
    parallel = max(mp for _, mp in every) + 1
    ranks = max(max(dp for dp, _ in every) + 1, (world_size or 0) // parallel)
    problems = []
    for kind in ("model", "optim"):
        if kind == "model" and not places["model"]:  # ZeRO 1 and 2 split the optimizer only
            problems += [
                f"{tag}/mp_rank_{mp:02d}_model_states.pt is missing" for mp in range(parallel) if mp not in whole
            ]
            continue
        problems += [
            f"{tag}/zero_pp_rank_{dp}_mp_rank_{mp:02d}_{kind}_states.pt is missing"
            for dp in range(ranks)
            for mp in range(parallel)
            if (dp, mp) not in places[kind]
        ]
    return ranks * parallel, True, problems
