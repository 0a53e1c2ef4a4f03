"""``target_parameters``: deltas of stacked experts, dealt out to the tensors of the checkpoint."""

from __future__ import annotations

from .adapter import WEIGHTS, Adapter, scaling
from .adapter_config import FILE, pattern_value
from .changes import Experts
from .names import Names
from .operations import AddExpert


def expert_operations(
    adapter: Adapter, change: Experts, names: Names
) -> tuple[list[tuple[str, AddExpert]], str | None]:
    """The operations of one wrapper, by the checkpoint's tensor.

    PEFT does not write the parameter's name into the key. It wraps the parameters of a module in the order in which the
    module lists them, so the innermost wrapper is the first one (PEFT 0.17 and 0.18, ``BaseTuner._inject_parameters``);
    Transformers lists ``gate_up_proj`` before ``down_proj``.

    Returns:
        The operations, and what does not fit (None when everything does).
    """
    where = f"{adapter.folder / WEIGHTS}: {change.a.name!r}"
    wanted = [
        t for t in adapter.config["target_parameters"] if f".{change.module}".endswith("." + t.rpartition(".")[0])
    ]
    ordered = sorted({t.rpartition(".")[2] for t in wanted}, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))
    if change.depth >= len(ordered):
        return [], f"{where} is one wrapper too many for {FILE}: target_parameters {wanted}"
    if len(ordered) > 1 and not set(ordered) <= set(_ORDER):
        unknown = ", ".join(sorted(set(ordered) - set(_ORDER)))
        return [], f"{adapter.folder / FILE}: target_parameters: the order of {unknown} in its module is not known"
    key = f"{change.module}.{ordered[len(ordered) - 1 - change.depth]}"
    slices = names.slices(key)
    if not slices:
        return [], (
            f"{adapter.folder / FILE}: target_parameters: {key} is not stacked from the tensors of {names.base.folder} "
            "in a way that is known (experts on dim 0, joined on dim 1)"
        )
    count = 1 + max(part.expert for part in slices)
    rows = sum(names.base.parts[part.name].shape[0] for part in slices if part.expert == 0)
    width = names.base.parts[slices[0].name].shape[-1]
    rank = pattern_value(adapter.config["rank_pattern"], key, adapter.config["r"])
    if change.a.shape != (rank * count, rows) or change.b.shape != (width, rank * count):
        return [], (
            f"{where} {list(change.a.shape)} and B {list(change.b.shape)} do not fit {key} [{count}, {rows}, {width}] "
            f"with rank {rank}: another base, or saved by a PEFT that lays them out in another way"
        )
    factor = scaling(adapter.config, key, rank)
    return [(s.name, AddExpert(change.a, change.b, factor, s.expert, count, s.start)) for s in slices], None


#: The order of a stacked module's parameters in Transformers 5.
_ORDER = {"gate_up_proj": 0, "down_proj": 1}
