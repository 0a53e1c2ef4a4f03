"""Which parameters are trained: all, some layers, or an adapter's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UserError, did_you_mean
from ..recipes import names
from .setup import Setup
from .shapes import Part, Shape
from .trainable_peft import count_peft


@dataclass(frozen=True)
class Trainable:
    """Parameters that get a gradient.

    Attributes:
        base: trained parameters of the model itself (full, freeze).
        adapter: parameters that LoRA or OFT add, copies of ``additional_target`` included.
        targets: the layer parts that carry an adapter.
        layers: layers with trained parameters.
        largest: elements of the largest trained matrix of a layer (its gradient exists twice for a moment).
        embedding, head: trained elements of the input embedding and of the head; a tied one counts as embedding.
        factored: rows and columns summed over all trained matrices, which is what Adafactor keeps.
        share: trained share of the layers' matrices: how much of the weight gradients is computed.
    """

    base: int
    adapter: int
    targets: tuple[Part, ...]
    layers: int
    largest: int
    embedding: int
    head: int
    factored: int
    share: float

    @property
    def parameters(self) -> int:
        """What LLaMA-Factory prints as trainable parameters."""
        return self.base + self.adapter


def read_trainable(shape: Shape, setup: Setup) -> Trainable:
    """Count what a recipe trains.

    Raises:
        UserError: a module that the recipe names is not in the model.
    """
    if setup.method == "full":
        layer = max(part.weights for part in shape.layer)
        head = 0 if shape.tied else shape.head.weights
        factored = shape.layers * _factored(shape.layer) + _factored(shape.outer)
        return Trainable(shape.parameters, 0, (), shape.layers, layer, shape.embedding.weights, head, factored, 1.0)
    if setup.values.get("peft") is not None:
        return read_peft(shape, setup)
    return _freeze(shape, setup) if setup.method == "freeze" else _adapter(shape, setup)


def _factored(parts: tuple[Part, ...]) -> int:
    return sum(part.copies * (part.rows + part.columns) for part in parts)


def _freeze(shape: Shape, setup: Setup) -> Trainable:
    """Some layers, chosen by number and module name (LLaMA-Factory's ``_setup_freeze_tuning``: substrings)."""
    wanted = setup.values.get("freeze_trainable_layers", 2)
    modules = names(setup.values.get("freeze_trainable_modules", "all"))
    extra = names(setup.values.get("freeze_extra_modules"))
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        raise UserError(f"freeze_trainable_layers: needs a whole number, is {wanted!r}")
    known = sorted({part.name.split(".")[0] for part in shape.layer})
    outer = sorted({part.name.split(".")[-1] for part in shape.outer})
    problems = [
        f"freeze_trainable_modules: {name!r} is not in the model; {did_you_mean(name, known, kind='modules')}"
        for name in modules
        if name != "all" and name not in known
    ]
    problems += [
        f"freeze_extra_modules: {name!r} is not in the model; {did_you_mean(name, outer, kind='modules')}"
        for name in extra
        if name not in outer
    ]
    if problems:
        raise UserError(problems)
    layers = min(abs(wanted), shape.layers)

    def by_extra(name: str) -> bool:
        return any(word in name for word in extra)

    base, everywhere = 0, 0
    for part in shape.layer:
        for name, elements in part.tensors():
            if by_extra(f"{shape.layer_prefix}.0.{name}"):
                everywhere += elements * shape.layers
            elif "all" in modules or any(name.startswith(module) for module in modules):
                base += elements * layers
    outside = sum(part.parameters for part in shape.outer if by_extra(f"{part.name}.weight"))
    largest = max(part.weights for part in shape.layer)
    embedding = shape.embedding.weights if by_extra(f"{shape.embedding.name}.weight") else 0
    head = shape.head.weights if by_extra(f"{shape.head.name}.weight") and not shape.tied else 0
    factored = layers * _factored(shape.layer)
    share = base / max(shape.layers * shape.layer_parameters, 1)
    return Trainable(base + everywhere + outside, 0, (), layers, largest, embedding, head, factored, share)


def _adapter(shape: Shape, setup: Setup) -> Trainable:
    linear = {part.name: part for part in shape.layer if part.linear and part.columns}
    targets: list[Part] = []
    problems: list[str] = []
    key = "lora_target" if setup.method == "lora" else "oft_target"
    if not setup.lora_target and not setup.additional_target:
        problems.append(f"{key}: is empty, so nothing is trained; lora_target: all reaches every linear layer")
    for name in setup.lora_target:
        found = [part for full, part in linear.items() if name in ("all", full) or full.endswith("." + name)]
        outside = [part for part in (shape.embedding, shape.head) if part.name.split(".")[-1] == name]
        if not found and not outside:
            short = [full.split(".")[-1] for full in linear]
            problems.append(f"{key}: {name!r} is not in the model; {did_you_mean(name, short, kind='modules')}")
        if outside and setup.method == "oft":
            problems.append(f"{key}: {name}: only layers of the model are estimated for OFT")
        targets += [part for part in found if part not in targets]
        targets += [part for part in outside if part not in targets]
    modules = [(part, shape.layers) for part in shape.layer]
    modules += [(part, 1) for part in (shape.embedding, shape.final_norm, shape.head)]
    whole = []
    for name in setup.additional_target:
        # PEFT compares the end of a module's name, so that `norm` also finds every input_layernorm.
        found = [(part, times) for part, times in modules if part.name.endswith(name)]
        if not found:
            known = {part.name.split(".")[-1] for part, _ in modules}
            problems.append(
                f"additional_target: {name!r} is not estimated; {did_you_mean(name, known, kind='modules')}"
            )
        whole += [item for item in found if item not in whole]
    copied = sum(part.parameters * times for part, times in whole)
    if problems:
        raise UserError(problems)
    outside_parts = (shape.embedding, shape.head)
    added = 0
    for part in targets:
        times = 1 if part in outside_parts else shape.layers
        added += times * (_lora(part, setup) if setup.method == "lora" else _oft(part, setup.values))
    in_layers = tuple(part for part in targets if part not in outside_parts)
    largest = max([setup.lora_rank * max(part.rows, part.columns) for part in targets], default=0)
    largest = max([largest, *(part.weights for part, times in whole if times > 1)])
    copies = [part for part, _ in whole]
    embedding = shape.embedding.weights if shape.embedding in copies else 0
    head = shape.head.weights if shape.head in copies else 0
    factored = added // max(setup.lora_rank, 1)
    share = added / max(shape.layers * shape.layer_parameters, 1)
    return Trainable(0, added + copied, in_layers, shape.layers, largest, embedding, head, factored, share)


def _lora(part: Part, setup: Setup) -> int:
    """Elements of A (rank x in) and B (out x rank) (LoRA, arXiv 2106.09685), and DoRA's magnitudes (2402.09353)."""
    added = setup.lora_rank * (part.rows + part.columns)
    return added + (part.rows if setup.values.get("use_dora") is True else 0)


def _oft(part: Part, values: dict[str, Any]) -> int:
    """Elements of OFT's skew-symmetric blocks: one of b(b-1)/2 for each b of the input width (PEFT: ``OFTConfig``)."""
    rank, block = values.get("oft_rank", 0) or 0, values.get("oft_block_size", 32) or 32
    if rank:
        block = part.columns // rank
    block = min(block, part.columns)
    while part.columns % block:  # PEFT takes the nearest divisor
        block -= 1
    return part.columns // block * (block * (block - 1) // 2)


def read_peft(shape: Shape, setup: Setup) -> Trainable:
    """Count what ``peft:`` trains; see ``trainable_peft``."""
    added, targets, largest = count_peft(shape, setup)
    share = added / max(shape.layers * shape.layer_parameters, 1)
    return Trainable(0, added, targets, shape.layers, largest, 0, 0, added // max(setup.lora_rank, 1), share)
