"""Which checkpoint a run goes on from. Pure: every process that gets the same looks comes to the same choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from .judge import Verdict, judge
from .look import STATE, Look, step_of

_START_OVER = "; or start over with another output_dir or `overwrite_output_dir=true`"

#: What one node sees in the output folder: name of a checkpoint -> what is in it.
View = Mapping[str, Look]


@dataclass(frozen=True)
class Run:
    """The run that is about to start, as far as checkpoints matter.

    Attributes:
        output_dir: as the recipe writes it.
        world_size: its processes (GPUs), over all nodes.
        deepspeed: it uses DeepSpeed.
        universal: DeepSpeed's ``load_universal`` is set, which loads partitions of any number of processes.
        save_only_model: the recipe's key.
        lora: it trains an adapter.
    """

    output_dir: str
    world_size: int = 1
    deepspeed: bool = False
    universal: bool = False
    save_only_model: bool = False
    lora: bool = True


@dataclass(frozen=True)
class Choice:
    """What to do with the output folder.

    Attributes:
        resume: the name of the checkpoint to go on from; None: start over.
        broken: name -> its problems, for the checkpoints to set aside, the newest first.
        notes: what the user should know, one sentence each.
    """

    resume: str | None
    broken: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def choose(views: Sequence[View], run: Run) -> Choice:
    """Choose the newest checkpoint that can be resumed from.

    Only those that are newer than the chosen one are judged: an older one is not in the way.

    Raises:
        UserError: nodes see different checkpoints, or the newest whole one cannot be loaded by this run as it is.
    """
    broken: dict[str, tuple[str, ...]] = {}
    for name in sorted(frozenset().union(*views), key=step_of, reverse=True):
        looks = [view[name] for view in views if name in view]
        verdict = judge(name, looks)
        if verdict.problems:
            broken[name] = verdict.problems
            continue
        _refuse_other_disks(name, looks, views, run)
        _refuse_other_run(name, looks[0], verdict, run)
        return Choice(name, broken, tuple(_notes(name, verdict, run)))
    return Choice(None, broken)


def refuse_ppo(folder: str, found: Sequence[Path]) -> None:
    """Refuse to go on with PPO, which writes adapters without the state of the training: whole, but not to resume from.

    Stock takes the last one and raises ``ValueError`` when the models are loaded.

    Raises:
        UserError: checkpoints were found.
    """
    if found:
        raise UserError(
            f"{found[0]}: LLaMA-Factory's PPO cannot go on from a checkpoint",
            hint="go on from its weights with a new optimizer: add "
            f"`adapter_name_or_path={found[0]} output_dir={folder.rstrip('/')}-2` to the command" + _START_OVER,
        )


def _refuse_other_disks(name: str, looks: Sequence[Look], views: Sequence[View], run: Run) -> None:
    blind = len(views) - sum(STATE in seen.names for seen in looks)
    if blind:
        raise UserError(
            f"{run.output_dir}/{name}: {blind} of {len(views)} nodes do not see it (or its {STATE}), so some processes "
            "would go on from it and others start over",
            hint="put output_dir on a volume that all nodes share, or copy the folder to every node",
        )


def _refuse_other_run(name: str, seen: Look, verdict: Verdict, run: Run) -> None:
    """Refuse what DeepSpeed cannot load, before the model is loaded, and say how to go on."""
    checkpoint = f"{run.output_dir}/{name}"
    if not run.deepspeed:
        if verdict.deepspeed and not verdict.has_weights:
            raise UserError(
                f"{checkpoint}: holds DeepSpeed's partitions only, and this run does not use DeepSpeed",
                hint="train with the same `deepspeed:` as before" + _or_weights(checkpoint, seen, verdict, run),
            )
        return
    if not verdict.deepspeed:
        why = "`save_only_model: true` leaves it out" if verdict.weights_only else "it was saved without DeepSpeed"
        again = " and set `save_only_model: false`, so that it does not happen again" if run.save_only_model else ""
        raise UserError(
            f"{checkpoint}: has no DeepSpeed state ({why}), so the run cannot go on from it where it stopped",
            hint=_continue(checkpoint, seen, verdict, run) + again + _START_OVER,
        )
    if verdict.zero and verdict.world_size != run.world_size and not run.universal:
        raise UserError(
            f"{checkpoint}: was saved by {_processes(verdict.world_size)} (GPUs), and this run has {run.world_size}; "
            "the optimizer is split over the processes, and DeepSpeed loads it with the same number only",
            hint=f"train with {verdict.world_size} GPUs (NPROC_PER_NODE={verdict.world_size} on one node)"
            + _or_weights(checkpoint, seen, verdict, run)
            + _START_OVER,
        )


def _or_weights(checkpoint: str, seen: Look, verdict: Verdict, run: Run) -> str:
    return "; or " + _continue(checkpoint, seen, verdict, run)


def _continue(checkpoint: str, seen: Look, verdict: Verdict, run: Run) -> str:
    """How to go on from the weights alone, with a new optimizer, as something to type."""
    left = ""
    if seen.epoch is not None and seen.epochs is not None and 0 < seen.epoch < seen.epochs:
        left = f" num_train_epochs={round(seen.epochs - seen.epoch, 2):g}"
    first, folder = "", checkpoint
    if not verdict.has_weights and run.lora:
        first = f"`lf-registry export-adapter {checkpoint}`, and then "
    elif not verdict.has_weights:
        folder = f"{checkpoint}-weights"
        first = (
            f"`python {checkpoint}/zero_to_fp32.py {checkpoint} {folder} --safe_serialization` and copy config.json "
        )
        first += "and the tokenizer's files there, and then "
    key = "adapter_name_or_path" if run.lora else "model_name_or_path"
    return (
        f"go on from the weights with a new optimizer: {first}add "
        f"`{key}={folder} output_dir={run.output_dir.rstrip('/')}-2{left}` to the command"
    )


def _notes(name: str, verdict: Verdict, run: Run) -> list[str]:
    notes = []
    if verdict.weights_only or (verdict.deepspeed and not run.deepspeed):
        notes.append(
            f"{name} is continued with a new optimizer and learning rate schedule, because "
            + ("it holds weights only" if verdict.weights_only else "its optimizer is in DeepSpeed's partitions")
        )
    elif verdict.world_size is not None and verdict.world_size != run.world_size:
        notes.append(
            f"{name} was saved by {_processes(verdict.world_size)} and this run has {run.world_size}: the batch is "
            "another one, so the run differs from one that was not interrupted"
        )
    return notes


def _processes(count: int | None) -> str:
    return "1 process" if count == 1 else f"{count} processes"
