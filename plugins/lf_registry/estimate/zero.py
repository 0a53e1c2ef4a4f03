"""What a DeepSpeed file says about memory: the ZeRO stage, offloading, and the buckets."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError

#: DeepSpeed's defaults, in elements (docs/config-json: zero_optimization).
_BUCKET = 500_000_000
_LIVE = 1_000_000_000


@dataclass(frozen=True)
class Zero:
    """A DeepSpeed configuration, as far as memory goes.

    Attributes:
        stage: 0 to 3.
        offload_optimizer, offload_parameters: to main memory (``cpu``) or a disk (``nvme``).
        nvme: whether something goes to a disk instead of main memory.
        reduce_bucket: elements of a gradient bucket; None for ``auto``: hidden size squared.
        buckets: how many of them: two when ``overlap_comm`` is on.
        live: most gathered elements under stage 3 (``stage3_max_live_parameters``).
        sub_group: elements that stage 3's optimizer steps at once (``sub_group_size``).
        half: False when the file switches bf16 and fp16 off: everything is then fp32.
    """

    stage: int = 0
    offload_optimizer: bool = False
    offload_parameters: bool = False
    nvme: bool = False
    reduce_bucket: int | None = _BUCKET
    buckets: int = 1
    live: int = _LIVE
    sub_group: int = _LIVE
    half: bool = True


def read_zero(value: Any, where: str) -> Zero:
    """Read a recipe's ``deepspeed:``, a path, JSON text or a mapping, as LLaMA-Factory takes it.

    Raises:
        UserError: lists everything that is wrong with it, with file and key.
    """
    name, content = where, value
    if isinstance(value, str):
        text = value
        if not value.strip():
            raise UserError(f"{where}: is empty; name a DeepSpeed file, or delete the key")
        if not value.lstrip().startswith("{"):
            name = value
            try:
                text = Path(value).read_text(encoding="utf-8")
            except FileNotFoundError:
                raise UserError(f"{where}: {value} does not exist (paths start at the current folder)") from None
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"{value}: cannot be read ({error})") from None
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"{name}, line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(content, dict):
        raise UserError(f"{name}: must hold an object, holds {type(content).__name__}")
    section = content.get("zero_optimization", {})
    if not isinstance(section, dict):
        raise UserError(f"{name}: zero_optimization: must be an object, is {section!r}")
    return _read_section(section, content, name)


def _read_section(section: dict[str, Any], content: dict[str, Any], name: str) -> Zero:
    problems = []

    def number(key: str, default: int) -> int | None:
        value = section.get(key, default)
        if value == "auto":
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
            problems.append(f'{name}: zero_optimization.{key}: needs a number above 0 or "auto", is {value!r}')
            return default
        return int(value)

    def offloaded(key: str, old: str) -> str | None:
        value = section.get(key) or {}
        device = value.get("device", "none") if isinstance(value, dict) else value
        if device not in ("none", "cpu", "nvme"):
            problems.append(f"{name}: zero_optimization.{key}.device: {device!r} is not none, cpu or nvme")
        return "cpu" if section.get(old) is True else None if device == "none" else device

    stage = section.get("stage", 0)
    if not isinstance(stage, int) or isinstance(stage, bool) or stage not in range(4):
        problems.append(f"{name}: zero_optimization.stage: needs 0, 1, 2 or 3, is {stage!r}")
        stage = 0
    optimizer = offloaded("offload_optimizer", "cpu_offload")
    parameters = offloaded("offload_param", "cpu_offload_params")
    if parameters and stage in (0, 1, 2):
        problems.append(f"{name}: zero_optimization.offload_param: works with stage 3 only, the stage is {stage}")
    bucket = number("reduce_bucket_size", _BUCKET)
    live = number("stage3_max_live_parameters", _LIVE)
    sub_group = number("sub_group_size", _LIVE)
    if problems:
        raise UserError(problems)
    overlap = section.get("overlap_comm", stage == 3)
    off = [isinstance(content.get(key), dict) and content[key].get("enabled") is False for key in ("bf16", "fp16")]
    return Zero(
        stage=stage,
        offload_optimizer=optimizer is not None,
        offload_parameters=parameters is not None,
        nvme="nvme" in (optimizer, parameters),
        reduce_bucket=bucket,
        buckets=2 if overlap else 1,
        live=live or _LIVE,
        sub_group=sub_group or _LIVE,
        half=not all(off),
    )
