"""Whether an adapter's file has a pair of matrices for every module that its config targets."""

from __future__ import annotations

import re

from .adapter import WEIGHTS, Adapter
from .changes import Lora, Replace
from .checkpoint import Base


def missing_modules(base: Base, adapter: Adapter) -> list[str]:
    """The targeted modules of the base that have no tensors in the adapter's file.

    Only where PEFT's choice can be repeated from names alone: ``target_modules`` as a list or a pattern, and no key
    that narrows it.
    """
    config = adapter.config
    targets = config.get("target_modules")
    narrowed = ("layers_to_transform", "layers_pattern", "exclude_modules", "target_parameters")
    if not targets or any(config.get(key) for key in narrowed) or targets == "all-linear":
        return []
    present = {change.module for change in adapter.changes if isinstance(change, Lora)}
    saved = {change.parameter.rpartition(".")[0] for change in adapter.changes if isinstance(change, Replace)}
    missing = []
    for name, part in base.parts.items():
        module = name.removesuffix(".weight")
        if name == module or len(part.shape) != 2 or ".experts." in name or module in saved:
            continue
        if _targeted(targets, module) and not any(have == module or have.endswith(f".{module}") for have in present):
            missing.append(module)
    if not missing:
        return []
    listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    return [f"{adapter.folder / WEIGHTS}: lora_A and lora_B are missing for {listed}, which target_modules names"]


def _targeted(targets: list[str] | str, module: str) -> bool:
    if isinstance(targets, str):
        return re.fullmatch(targets, module) is not None
    return any(module == target or module.endswith(f".{target}") for target in targets)
