"""What to change so that a recipe fits: the first change that the same model says fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..paths import base_root
from ..recipes import Recipe
from .gpus import COUNTS, Gpu
from .memory import GIB, Memory, estimate_memory
from .setup import Setup, read_setup
from .shapes import Shape

#: Below this a conversation rarely fits.
_SHORTEST = 512


@dataclass(frozen=True)
class Suggestion:
    """A change that fits.

    Attributes:
        overrides: ``key=value`` to type behind the recipe.
        memory: what the recipe then needs.
    """

    overrides: tuple[str, ...]
    memory: Memory


def fits(memory: Memory, setup: Setup, gpu: Gpu) -> bool:
    """Whether a GPU has the memory and the number type."""
    return memory.total <= gpu.memory_gib * GIB and (gpu.bf16 or setup.precision != "bf16")


def change(recipe: Recipe, overrides: tuple[str, ...]) -> Recipe:
    """A recipe with further ``key=value`` overrides, read as LLaMA-Factory reads them."""
    from omegaconf import OmegaConf

    return Recipe(recipe.path, recipe.values | OmegaConf.to_container(OmegaConf.from_cli(list(overrides))))  # type: ignore[operator,arg-type]


def suggest(shape: Shape, recipe: Recipe, setup: Setup, gpus: int, gpu: Gpu, length: int | None) -> Suggestion | None:
    """Find the first change that makes a recipe fit: one alone, in order of what it costs, then several together.

    The order: a smaller micro-batch (same result, slower), gradient checkpointing, ZeRO-3, offloading, QLoRA, a shorter
    ``cutoff_len``. A GPU without bf16 gets ``fp16`` along with each.
    """
    base: tuple[str, ...] = () if gpu.bf16 or setup.precision != "bf16" else ("bf16=false", "fp16=true")
    for overrides in _candidates(setup, gpus):
        tried = (*base, *overrides)
        if not tried:
            continue
        try:
            changed = read_setup(change(recipe, tried))
            memory = estimate_memory(shape, changed, gpus, length)
        except UserError:
            continue
        if fits(memory, changed, gpu):
            return Suggestion(tried, memory)
    return None


def _candidates(setup: Setup, gpus: int) -> Iterator[tuple[str, ...]]:
    batches = [_smaller_batch(setup, size) for size in _halves(setup.batch, 1)]
    checkpointing = () if setup.checkpointing else ("disable_gradient_checkpointing=false",)
    can_split = not setup.quantization_bit and not setup.pure_bf16
    zero3 = _zero_file("ds_z3.json") if can_split and (setup.zero is None or setup.zero.stage < 3) and gpus > 1 else ()
    offloaded = setup.zero is not None and setup.zero.offload_parameters and setup.zero.offload_optimizer
    offload = _zero_file("ds_z3_offload.json") if can_split and not offloaded else ()
    qlora = ()
    if setup.method == "lora" and not setup.quantization_bit:
        qlora = ("quantization_bit=4", *(("deepspeed=null",) if setup.zero else ()))
    shorter = [(f"cutoff_len={size}",) for size in _halves(setup.cutoff, _SHORTEST)]
    yield ()
    yield from batches
    for single in (checkpointing, zero3, offload, qlora):
        if single:
            yield single
    yield from shorter
    smallest = batches[-1] if batches else ()
    for sharing in ((), zero3, offload, qlora):
        if sharing or (smallest and checkpointing):
            yield (*smallest, *checkpointing, *sharing)
    for cut in shorter:
        for sharing in ((), zero3, offload, qlora):
            yield (*smallest, *checkpointing, *sharing, *cut)


def _halves(value: int, least: int) -> list[int]:
    found = []
    while value // 2 >= least:
        value //= 2
        found.append(value)
    return found


def _smaller_batch(setup: Setup, size: int) -> tuple[str, ...]:
    accumulation = setup.accumulation * setup.batch // size
    return (f"per_device_train_batch_size={size}", f"gradient_accumulation_steps={accumulation}")


def _zero_file(name: str) -> tuple[str, ...]:
    path = base_root().path / "recipes" / "deepspeed" / name
    if not path.is_file():
        return ()
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return (f"deepspeed={shown}",)


def other_gpus(
    shape: Shape, setup: Setup, known: dict[str, Gpu], length: int | None, at_least: int
) -> tuple[int, Gpu] | None:
    """The cheapest GPUs (an hour) on which a recipe fits as it is, from ``at_least`` of them up."""
    found = []
    for count in COUNTS:
        if count < at_least:
            continue
        memory = estimate_memory(shape, setup, count, length)
        found += [
            (count * gpu.dollars, count, gpu) for gpu in known.values() if gpu.dollars and fits(memory, setup, gpu)
        ]
    return min(found, key=lambda item: item[:2])[1:] if found else None
