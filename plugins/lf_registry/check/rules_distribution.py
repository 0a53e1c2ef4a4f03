"""What cannot be combined with ZeRO-3 or FSDP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..recipes import Recipe
from .facts import error, get, is_on, text, uses_fsdp, zero_stage
from .report import Finding
from .schema import members

Values = dict[str, Any]


def distribution(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """What cannot be combined with ZeRO-3 or FSDP."""
    wrong = [name for name in (text(values, "fsdp") or "").split() if name not in members("FSDPOption")]
    if wrong:
        yield error(
            recipe,
            "not-a-choice",
            "fsdp",
            f"{wrong[0]!r} is not one of its options; they are separated by spaces",
            f"some of {', '.join(members('FSDPOption'))}: for example `fsdp: full_shard auto_wrap`",
        )
    if get(values, "deepspeed") and uses_fsdp(values):
        yield error(
            recipe, "incompatible", "fsdp", "FSDP and DeepSpeed cannot be used together", "keep `deepspeed:` or `fsdp:`"
        )
    if zero_stage(values) != 3:
        return
    for key, fix in (
        ("predict_with_generate", "predict without `deepspeed:`, or with a ZeRO-2 file"),
        ("pure_bf16", "use `bf16: true` instead"),
        ("pissa_init", "initialize PiSSA with LLaMA-Factory's scripts/pissa_init.py first"),
        ("use_unsloth", "remove `use_unsloth:`, or use a ZeRO-2 file"),
        ("use_kt", "remove `deepspeed:`"),
        ("auto_find_batch_size", "remove it, or use a ZeRO-2 file"),
    ):
        if is_on(values, key):
            yield error(recipe, "incompatible", key, "cannot be used together with ZeRO-3", fix)


RULES = (distribution,)
