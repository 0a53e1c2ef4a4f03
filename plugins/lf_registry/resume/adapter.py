"""Whether a checkpoint's adapter has the shape of the one that is about to be trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError


def refuse_other_adapter(checkpoint: str, kind: str, wanted: Mapping[str, tuple[str, Any]]) -> None:
    """Refuse a checkpoint of another method or size, before the model is loaded.

    Stock loads the model first, and then ends in PyTorch's list of all tensors whose size differs.

    Args:
        checkpoint: its folder; without a readable ``adapter_config.json`` nothing is said here.
        kind: PEFT's name of the method that is trained, in lower case.
        wanted: the key of ``adapter_config.json`` -> the recipe's key and its value.

    Raises:
        UserError: lists every difference.
    """
    try:
        saved = json.loads((Path(checkpoint) / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if not isinstance(saved, dict) or not saved.get("peft_type"):
        return
    start_over = "start over with another output_dir or `overwrite_output_dir=true`"
    before = str(saved["peft_type"]).lower()
    if before != kind:
        what = f"resume_from_checkpoint: {checkpoint} holds a {before} adapter, and this recipe trains {kind}"
        raise UserError(what, hint=f"train {before} again, or {start_over}")
    different = {
        key: (field, value) for field, (key, value) in wanted.items() if field in saved and saved[field] != value
    }
    if different:
        told = [
            f"{key}: {checkpoint} was trained with {saved[field]}, and this recipe says {value}: the run cannot go on "
            "from it"
            for key, (field, value) in different.items()
        ]
        again = ", ".join(f"`{key}={saved[field]}`" for key, (field, _) in different.items())
        raise UserError(told, hint=f"write {again} again, or {start_over}")
