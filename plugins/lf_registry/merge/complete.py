"""Whether an adapter's file has a pair of matrices for every module that its config targets."""

from __future__ import annotations

import re

from .adapter import WEIGHTS, Adapter
from .changes import Lora, Replace
from .names import Names


def missing_modules(names: Names, adapter: Adapter) -> list[str]:
    """The targeted modules of the base that have no tensors in the adapter's file.

    Only where PEFT's choice can be repeated from names alone: ``target_modules`` as a list or a pattern, and no key
    that narrows it. Layers of the checkpoint that Transformers leaves out (multi-token prediction) are not missed.
    """
    config = adapter.config
    targets = config.get("target_modules")
    narrowed = ("layers_to_transform", "layers_pattern", "exclude_modules", "target_parameters")
    if not targets or any(config.get(key) for key in narrowed) or targets == "all-linear":
        return []
    present = {change.module for change in adapter.changes if isinstance(change, Lora)}
    saved = {change.parameter.rpartition(".")[0] for change in adapter.changes if isinstance(change, Replace)}
    places = {_place(module) for module in present}
    missing = []
    for name, part in names.in_memory(f"{module}.weight" for module in present).items():
        module = name.removesuffix(".weight")
        if name == module or len(part.shape) != 2 or ".experts." in name or module in saved:
            continue
        if not _targeted(targets, module) or any(have == module or have.endswith(f".{module}") for have in present):
            continue
        if _is_trained(names, module, places):
            missing.append(module)
    if not missing:
        return []
    listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    return [f"{adapter.folder / WEIGHTS}: lora_A and lora_B are missing for {listed}, which target_modules names"]


def _targeted(targets: list[str] | str, module: str) -> bool:
    if isinstance(targets, str):
        return re.fullmatch(targets, module) is not None
    return any(module == target or module.endswith(f".{target}") for target in targets)


def _place(module: str) -> str:
    """The block a module stands in, for any number of the block: ``model.layers.#`` of ``model.layers.3.mlp.up_proj``.

    Without a number it is the module that holds it.
    """
    numbered = re.match(r".*\.\d+(?=\.)", module)
    return re.sub(r"\d+", "#", numbered[0] if numbered else module.rpartition(".")[0])


def _is_trained(names: Names, module: str, places: set[str]) -> bool:
    """Whether Transformers loads the block: another one of its kind has an adapter, and the config counts it."""
    place = _place(module)
    if "#" not in place:
        return not place or any(f"{other}.".startswith(f"{place}.") for other in places)
    config = names.base.config
    count = (config.get("text_config") or config).get("num_hidden_layers")
    number = re.search(r"\.(\d+)\.", module)
    counted = not isinstance(count, int) or number is None or int(number[1]) < count
    return counted and any(have == place or have.endswith(f".{place}") for have in places)
