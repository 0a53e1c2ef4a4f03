"""What to change so that a recipe fits: the first change that the same model says fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..paths import base_root
from ..recipes import Recipe, names
from .gpus import COUNTS, Gpu
from .memory import GIB, Memory, estimate_memory
from .setup import Setup, read_setup
from .shapes import Shape

#: Below this a conversation rarely fits.
_SHORTEST = 512
#: Above this share of a GPU's memory a fit is called tight: the overheads are assumed, not measured.
_TIGHT = 0.92


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


def is_tight(memory: Memory, gpu: Gpu) -> bool:
    """Whether so little of a GPU's memory is left that a fit has to be tried before one counts on it."""
    return memory.total > _TIGHT * gpu.memory_gib * GIB


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
    batches = [_smaller_batch(setup, size) for size in _divisors(setup.batch)]
    evaluated = ("per_device_eval_batch_size=1",) if setup.eval_batch > 1 else ()
    checkpointing = () if setup.checkpointing else ("disable_gradient_checkpointing=false",)
    can_split = _takes_zero3(setup)
    zero3 = _zero_file("ds_z3.json") if can_split and (setup.zero is None or setup.zero.stage < 3) and gpus > 1 else ()
    offloaded = setup.zero is not None and setup.zero.offload_parameters and setup.zero.offload_optimizer
    offload = _zero_file("ds_z3_offload.json") if can_split and not offloaded and _has_cpu_form(setup) else ()
    qlora = ()
    if setup.method == "lora" and not setup.quantization_bit and _takes_quantization(setup):
        qlora = ("quantization_bit=4", *(("deepspeed=null",) if setup.zero else ()))
    shorter = [(f"cutoff_len={size}",) for size in _halves(setup.cutoff, _SHORTEST)]
    yield ()
    for single in filter(None, (evaluated, *batches, checkpointing, zero3, offload, qlora, *shorter)):
        yield single
        if evaluated and single is not evaluated:
            yield (*single, *evaluated)
    smallest = batches[-1] if batches else ()
    for sharing in ((), zero3, offload, qlora):
        if sharing or (smallest and checkpointing):
            yield (*smallest, *evaluated, *checkpointing, *sharing)
    for cut in shorter:
        for sharing in ((), zero3, offload, qlora):
            yield (*smallest, *evaluated, *checkpointing, *sharing, *cut)


def _takes_zero3(setup: Setup) -> bool:
    """Whether LLaMA-Factory starts the recipe under ZeRO-3 (hparams/parser.py refuses the others)."""
    values = setup.values
    refused = ("use_unsloth", "use_kt", "predict_with_generate", "pissa_init", "use_galore", "use_apollo", "use_badam")
    return not setup.quantization_bit and not setup.pure_bf16 and not any(values.get(key) is True for key in refused)


def _has_cpu_form(setup: Setup) -> bool:
    """Whether offloading has the optimizer's form for the CPU, which DeepSpeed makes of PyTorch's Adam alone."""
    return setup.optimizer.startswith("adamw_torch")


def _takes_quantization(setup: Setup) -> bool:
    """Whether LLaMA-Factory takes the recipe with a quantized model (hparams/parser.py, ``_verify_model_args``)."""
    values = setup.values
    adapters = values.get("adapter_name_or_path")
    several = isinstance(adapters, str | list) and len(names(adapters)) > 1
    refused = ("pissa_init", "resize_vocab", "create_new_adapter")
    return not several and not any(values.get(key) is True for key in refused)


def effects(overrides: tuple[str, ...]) -> list[str]:
    """What a change does to the result, one sentence each; a micro-batch with its accumulation does nothing to it."""
    said = {
        "cutoff_len=": "a shorter cutoff_len cuts longer rows off, and what is cut is not learned",
        "quantization_bit=": "4-bit weights are rounded: the result differs a little, and each step is slower",
        "fp16=": "fp16 has a smaller range than bf16: watch the loss",
    }
    return [text for start, text in said.items() if any(item.startswith(start) for item in overrides)]


def _divisors(batch: int) -> list[int]:
    """Smaller and smaller micro-batches that divide the batch, so that as many rows make a step as before."""
    found = []
    while batch > 1:
        batch //= next((prime for prime in range(2, min(batch, 1000) + 1) if batch % prime == 0), batch)
        found.append(batch)
    return found


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
) -> tuple[int, Gpu, bool] | None:
    """The cheapest GPUs (an hour) on which a recipe fits as it is, from ``at_least`` of them up.

    Returns:
        Count, GPU, and whether it is tight there: only when it is tight wherever it fits.
    """
    found = []
    for count in COUNTS:
        if count < at_least:
            continue
        memory = estimate_memory(shape, setup, count, length)
        found += [
            (is_tight(memory, gpu), count * gpu.dollars, count, gpu)
            for gpu in known.values()
            if gpu.dollars and fits(memory, setup, gpu)
        ]
    if not found:
        return None
    tight, _, count, gpu = min(found, key=lambda item: item[:3])
    return count, gpu, tight
