"""Whether the merged model answers like base + adapter: logits of a fixture prompt, compared in fp32."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .checkpoint import FLOATS, main_type, read_base, read_json
from .quiet import no_collection, no_progress_bars, quiet

if TYPE_CHECKING:
    from .blockwise import Widener

#: Below so many parameters the comparison is made unless it is turned off: it then takes some ten seconds.
MOST_PARAMETERS = 2_000_000_000
#: Bytes of the libraries, and of what a prompt of some dozen tokens makes.
_LIBRARIES = 1_500_000_000
PROMPT = "아이언맨은 오늘도 수트를 고치며 자비스와 이야기한다. The quick brown fox jumps over the lazy dog. 1 + 1 = 2"
_TOKENS = 32
#: The largest accepted distance, ||merged - adapted|| / ||adapted||. Rounding the weights once to a type with p bits of
#: precision moves each by up to 2^-p of itself, and the logits by about as much for each layer (fp32 2^-24,
#: fp16 2^-11, bf16 2^-8). The limits are a choice: several times what tiny models showed, far below a lost scaling.
TOLERANCE = {"F32": 1e-4, "F16": 1e-2, "BF16": 5e-2}


class NotComparable(Exception):
    """A model cannot be run here, which says nothing about the merge; the message says which and why."""


def compare_logits(base: Path, adapters: Sequence[Path], merged: Path, *, trust: bool = False) -> dict[str, Any]:
    """Run base + adapters and the merged model on one prompt.

    Args:
        base: the base model's folder.
        adapters: the adapters' folders; all but the last are merged by PEFT, the last is applied while running.
        merged: the merged model's folder.
        trust: run the Python code that the base brings.

    Returns:
        The distance, the tolerance and the number of tokens, for the report.

    Raises:
        NotComparable: base + adapters cannot be loaded or run, or memory lacks for the merged model.
        UserError: the distance is above the tolerance, or the merged model alone cannot be run.
    """
    with quiet(), no_collection():
        import torch

        from .blockwise import Widener
    with quiet(), no_progress_bars(), torch.no_grad():
        widener = Widener()
        try:
            ids = _prompt(merged, trust)
            expected = _run(base, ids, trust, widener, adapters, _vocabulary(merged))
        except Exception as error:  # whatever a model's own code raises
            raise NotComparable(f"base + adapter cannot be run here ({_first_line(error)})") from error
        try:
            got = _run(merged, ids, trust, widener)
        except NotComparable as error:
            raise NotComparable(f"the merged model cannot be run here ({error})") from error
        except Exception as error:
            raise UserError(f"the merged model cannot be run, base + adapter can: {_first_line(error)}") from error
    # A merge rounds to the base's type, whatever it writes.
    dtype = max(_stored_type(base), _stored_type(merged), key=lambda name: TOLERANCE[name])
    distance = ((got - expected).norm() / expected.norm().clamp_min(1e-12)).item()
    if not distance <= TOLERANCE[dtype]:
        raise UserError(
            f"the merged model does not answer like base + adapter: its logits are off by {distance:.1%} "
            f"({TOLERANCE[dtype]:.2%} is what rounding to {dtype} explains)",
            hint="nothing was put in place; --verify tensors skips this comparison",
        )
    return {"distance": distance, "tolerance": TOLERANCE[dtype], "tokens": ids.shape[1]}


def memory_needed(tensors: Iterable[tuple[str, Sequence[int]]]) -> int:
    """Bytes of main memory that the comparison takes: those of the largest block in fp32, and the libraries'.

    Args:
        tensors: names and shapes.
    """
    sizes: dict[str, int] = {}
    for name, shape in tensors:
        numbered = re.match(r".*?\.\d+(?=\.)", name)
        block = numbered[0] if numbered else name
        sizes[block] = sizes.get(block, 0) + 4 * prod(shape)
    return _LIBRARIES + max(sizes.values(), default=0)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def free_memory() -> int:
    """Bytes of main memory that this process may still take: files in the cache count as free, a container's limit not.

    Source: Linux, ``Documentation/filesystems/proc.rst`` (MemAvailable), ``cgroup-v2.rst`` (memory.max, inactive_file).
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        free = int(text.split("MemAvailable:")[1].split()[0]) * 1024
    with contextlib.suppress(OSError, ValueError, IndexError):
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        cached = int((group / "memory.stat").read_text(encoding="ascii").split("inactive_file ")[1].split()[0])
        free = min(free, limit - used + cached)
    return free


def _prompt(merged: Path, trust: bool) -> Any:
    import torch

    if (merged / "tokenizer_config.json").is_file():
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(merged, trust_remote_code=trust)(PROMPT, return_tensors="pt")["input_ids"][
            :, :_TOKENS
        ]
    return torch.arange(_TOKENS)[None]


def _load(folder: Path, trust: bool, dtype: str) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(folder, trust_remote_code=trust)
    own = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    causal = own or type(config) in AutoModelForCausalLM._model_mapping
    auto = AutoModelForCausalLM if causal else AutoModelForImageTextToText
    return auto.from_pretrained(folder, dtype=getattr(torch, FLOATS[dtype]), trust_remote_code=trust)


def _run(
    folder: Path, ids: Any, trust: bool, widener: Widener, adapters: Sequence[Path] = (), rows: int | None = None
) -> Any:
    """The logits, by blocks; of a model whose code reads weights of another block, by loading all of it in fp32.

    Raises:
        NotComparable: it cannot be run by blocks, and there is too little memory for all of it.
        Exception: whatever else loading and running a model raises.
    """
    try:
        return _logits(folder, ids, trust, widener, adapters, rows)
    except Exception as error:
        failed = _first_line(error)
    widener.release()
    parameters = sum(prod(part.shape) for part in read_base(folder).parts.values())
    if 4 * 1.3 * parameters > free_memory():
        raise NotComparable(f"not by blocks: {failed}; and it does not fit into the free memory in fp32")
    return _logits(folder, ids, trust, None, adapters, rows)


def _logits(
    folder: Path,
    ids: Any,
    trust: bool,
    widener: Widener | None,
    adapters: Sequence[Path] = (),
    rows: int | None = None,
) -> Any:
    """Run a model with adapters in fp32; ``rows``: the vocabulary that they were trained with."""
    model = _load(folder, trust, _stored_type(folder) if widener else "F32")
    if rows and model.get_input_embeddings().weight.shape[0] != rows:
        model.resize_token_embeddings(rows, mean_resizing=False)
    for i, adapter in enumerate(adapters):
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter))
        if i + 1 < len(adapters):
            model = model.merge_and_unload()
    if widener:
        widener.attach(model)
    return model.eval()(ids).logits


def _stored_type(folder: Path) -> str:
    return main_type((part.dtype, prod(part.shape)) for part in read_base(folder).parts.values())


def _vocabulary(folder: Path) -> int | None:
    config = read_json(folder / "config.json")
    return config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
