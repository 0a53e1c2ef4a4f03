"""``lf-registry export-adapter``: the adapter of a ZeRO checkpoint that was saved as partitions only.

DeepSpeed's own converter puts the partitions together; what is left is to give the tensors the names that PEFT saves.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import is_dir, is_file
from ..made_by import command_that_makes
from .adapter import PREFIX, WEIGHTS, read_adapter
from .adapter_config import FILE as CONFIG
from .checkpoint import read_json

#: What PEFT calls an adapter in memory; it is not in the names of the saved file.
_NAME = ".default"


def export_adapter(checkpoint: Path, out: Path | None) -> list[str]:
    """Write ``adapter_model.safetensors`` and ``adapter_config.json``.

    Args:
        checkpoint: a ``checkpoint-N`` folder with ``latest`` and ``global_stepN/``.
        out: the folder to write; the checkpoint itself when None.

    Returns:
        Lines for the user.

    Raises:
        UserError: no partitions, no adapter config, an adapter that is there already, or partitions that do not fit.
    """
    if not is_dir(checkpoint):
        there = sorted(str(path) for path in checkpoint.parent.glob("checkpoint-*"))
        hint = f"name a checkpoint-N folder{': ' + ' or '.join(there[:5]) if there else ''}"
        if not there and (made_by := command_that_makes(checkpoint)):
            hint = f"{made_by}   # writes checkpoints; then name one of them"
        raise UserError(f"{checkpoint}: there is no such folder", hint=hint)
    config = next((place / CONFIG for place in (checkpoint, checkpoint.parent) if is_file(place / CONFIG)), None)
    if config is None:
        raise UserError(
            f"{checkpoint}: neither it nor the folder above has {CONFIG}, so it is not known how the adapter was made",
            hint="copy the adapter_config.json of another checkpoint of this training there",
        )
    target = out or checkpoint
    if is_file(target / WEIGHTS):
        raise UserError(
            f"{target / WEIGHTS} exists already; nothing was changed",
            hint=f"lf-registry merge {target}, or name another --out",
        )
    values = read_json(config)
    state = _gathered(checkpoint)
    tensors = _as_saved(state, values)
    if not tensors:
        raise UserError(f"{checkpoint}: its partitions hold no adapter weights (no name with lora_ among {len(state)})")
    empty = [name for name, tensor in tensors.items() if tensor.numel() == 0]
    if empty:
        raise UserError(f"{checkpoint}: {len(empty)} tensors are empty in the partitions, such as {empty[0]}")
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    part = target / f".{WEIGHTS}.part"
    try:
        target.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part, metadata={"format": "pt"})
        if config.parent != target:
            shutil.copyfile(config, target / CONFIG)
        part.replace(target / WEIGHTS)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise UserError(f"{target}: cannot be written ({error})") from None
    read_adapter(target)  # what is wrong with it is better said now than at the merge
    count = sum(tensor.numel() for tensor in tensors.values())
    return [
        f"wrote {target / WEIGHTS}: {len(tensors)} tensors, {count:,} values",
        f"next: lf-registry merge {target} --out DIR",
    ]


def _gathered(checkpoint: Path) -> dict[str, Any]:
    """All trained parameters of the checkpoint in fp32, by DeepSpeed's converter."""
    if not is_file(checkpoint / "latest") or not list(checkpoint.glob("global_step*")):
        raise UserError(
            f"{checkpoint}: has no ZeRO partitions (the file latest and a folder global_stepN)",
            hint="name a checkpoint-N folder of a training with deepspeed",
        )
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    try:
        return get_fp32_state_dict_from_zero_checkpoint(str(checkpoint), exclude_frozen_parameters=True)
    except (ValueError, AssertionError, KeyError, FileNotFoundError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{checkpoint}: DeepSpeed cannot put its partitions together: {first}") from None


def _as_saved(state: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The tensors under the names of PEFT's file, each with memory of its own."""
    saved = config.get("modules_to_save") or []
    found = {}
    for key, tensor in state.items():
        name = PREFIX + key.removeprefix("module.").removeprefix(PREFIX)
        trained = "lora_" in name or "trainable_tokens_delta" in name or "modules_to_save" in name
        bias = config.get("bias") == "all" and name.endswith(".bias")
        if not (trained or bias or any(f".{module}." in name for module in saved)):
            continue
        plain = name.replace(".modules_to_save" + _NAME, "").replace(_NAME + ".", ".").removesuffix(_NAME)
        if plain.endswith("lora_magnitude_vector.weight"):
            plain = plain.removesuffix(".weight")
        found[plain] = tensor.detach().clone().contiguous()
    return found
