"""What this machine has: packages, and the GPU as ``nvidia-smi`` describes it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

from ..recipes import Recipe
from .facts import error, get, is_on, warning
from .report import Finding

Values = dict[str, Any]


def _quantizes_with(how: str) -> Callable[[Values], bool]:
    return lambda values: bool(get(values, "quantization_bit")) and get(values, "quantization_method") == how


def _reports_to(name: str) -> Callable[[Values], bool]:
    return lambda values: (
        get(values, "report_to") == name
        or (isinstance(get(values, "report_to"), list) and name in get(values, "report_to"))
    )


def _on(key: str) -> Callable[[Values], bool]:
    return lambda values: is_on(values, key)


#: (key, module, what to install, whether the recipe needs it). LLaMA-Factory's ``_check_extra_dependencies``,
#: ``configure_quantization``, and the constructors of Transformers' tracker callbacks.
_PACKAGES: tuple[tuple[str, str, str, Callable[[Values], bool]], ...] = (
    ("deepspeed", "deepspeed", "deepspeed", _on("deepspeed")),
    ("quantization_bit", "bitsandbytes", "'lf-registry[quant]'", _quantizes_with("bnb")),
    ("quantization_bit", "hqq", "hqq", _quantizes_with("hqq")),
    ("quantization_bit", "eetq", "eetq", _quantizes_with("eetq")),
    ("enable_liger_kernel", "liger_kernel", "liger-kernel", _on("enable_liger_kernel")),
    ("use_liger_kernel", "liger_kernel", "liger-kernel", _on("use_liger_kernel")),
    ("use_unsloth", "unsloth", "unsloth", _on("use_unsloth")),
    ("use_galore", "galore_torch", "galore_torch", _on("use_galore")),
    ("use_apollo", "apollo_torch", "apollo_torch", _on("use_apollo")),
    ("use_badam", "badam", "badam", _on("use_badam")),
    ("use_adam_mini", "adam_mini", "adam-mini", _on("use_adam_mini")),
    ("use_swanlab", "swanlab", "swanlab", _on("use_swanlab")),
    ("plot_loss", "matplotlib", "matplotlib", _on("plot_loss")),
    ("predict_with_generate", "jieba", "jieba nltk rouge_chinese", _on("predict_with_generate")),
    ("report_to", "wandb", "wandb", _reports_to("wandb")),
    (
        "report_to",
        "tensorboard",
        "tensorboard",
        lambda values: _reports_to("tensorboard")(values) and importlib.util.find_spec("tensorboardX") is None,
    ),
    ("report_to", "swanlab", "swanlab", _reports_to("swanlab")),
    ("report_to", "trackio", "trackio", _reports_to("trackio")),
    ("report_to", "mlflow", "mlflow", _reports_to("mlflow")),
)


def packages(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """The packages that the recipe needs and that are not installed here."""
    for key, module, install, needed in _PACKAGES:
        if needed(values) and importlib.util.find_spec(module) is None:
            yield error(
                recipe,
                "missing-package",
                key,
                f"needs the package {module}, which is not installed here",
                f"pip install {install}",
            )
    attention = get(values, "flash_attn")
    if attention == "fa2" and importlib.util.find_spec("flash_attn") is None:
        yield warning(
            recipe,
            "missing-package",
            "flash_attn",
            "FlashAttention 2 is not installed here; LLaMA-Factory says so in its log and goes on without",
            "pip install flash-attn --no-build-isolation, or write `flash_attn: sdpa`, which is nearly as fast",
        )
    elif attention == "fa3":
        yield error(
            recipe,
            "not-a-choice",
            "flash_attn",
            "LLaMA-Factory takes fa3 only for gpt-oss by itself, and stops when a recipe asks for it",
            "write `flash_attn: fa2`, or auto",
        )


#: From this compute capability on (Ampere), a GPU computes in bfloat16.
_BF16_CAPABILITY = 8.0


def bf16_gpu(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """bf16 on a GPU that has to emulate it."""
    if not any(is_on(values, key) for key in ("bf16", "pure_bf16")):
        return
    key = "bf16" if is_on(values, "bf16") else "pure_bf16"
    for name, capability in visible_gpus():
        if capability < _BF16_CAPABILITY:
            yield warning(
                recipe,
                "bf16-gpu",
                key,
                f"{name} (compute capability {capability}) has no bfloat16 units: PyTorch emulates it, several times "
                "slower, and FlashAttention and other kernels refuse it",
                f"{key}=false fp16=true",
            )
            return


def visible_gpus() -> list[tuple[str, float]]:
    """The NVIDIA GPUs that a run would use: (name, compute capability). Empty when there is no ``nvidia-smi``."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        done = subprocess.run(
            [command, "--query-gpu=name,compute_cap", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for line in done.stdout.splitlines():
        name, _, capability = line.rpartition(",")
        try:
            found.append((name.strip(), float(capability)))
        except ValueError:
            return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return found
    indices = [int(index) for index in chosen.split(",") if index.strip().isdigit()]
    return [found[index] for index in indices if index < len(found)]


RULES = (packages, bf16_gpu)
