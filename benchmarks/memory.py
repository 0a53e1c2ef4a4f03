"""Measure the peak memory of real training steps, to compare `lf-registry estimate` with.

    python benchmarks/memory.py --out runs.json          # on a CUDA GPU, a few minutes, nothing is downloaded
    lf-registry estimate --measured runs.json

The models have the real shapes and random weights. They are prepared by LLaMA-Factory's own functions (gradient
checkpointing, adapter, fp32 casts) and trained for some steps as its trainer does: autocast, accumulation of two
micro-batches, fused AdamW, padded batches.

`--device fake` needs no GPU: PyTorch's fake tensors go through the same steps without memory behind them, and every
tensor that lives is counted. That checks the arithmetic of the estimate on full-size models, not CUDA's kernels, its
allocator or its context. `--device cpu` runs the steps for real on the CPU, for small models.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).parent.parent / "plugins" / "lf_registry" / "estimate" / "configs"
_LORA = {"finetuning_type": "lora", "lora_rank": 16, "lora_target": "all", "lora_dropout": 0.05}
_MODELS = {
    "1B": "meta-llama--Llama-3.2-1B",
    "2B": "kakaocorp--kanana-nano-2.1b-base",
    "7B": "Qwen--Qwen2-7B",
    "8B": "meta-llama--Llama-3.1-8B",
}


def cases() -> dict[str, dict[str, Any]]:
    """The runs: name -> a recipe's values; every name begins with the model's size."""
    found: dict[str, dict[str, Any]] = {}
    for size in _MODELS:
        for checkpointing in (True, False):
            common = {
                "bf16": True,
                "cutoff_len": 1024 if checkpointing else 512,
                "per_device_train_batch_size": 2,
                "gradient_accumulation_steps": 2,
                "disable_gradient_checkpointing": not checkpointing,
            }
            end = "checkpointing" if checkpointing else "no checkpointing"
            found[f"{size} LoRA, {end}"] = common | _LORA
            found[f"{size} QLoRA, {end}"] = common | _LORA | {"quantization_bit": 4}
            if size in ("1B", "2B"):
                found[f"{size} full, {end}"] = common | {"finetuning_type": "full"}
            else:
                found[f"{size} full in bf16, {end}"] = common | {
                    "finetuning_type": "full",
                    "pure_bf16": True,
                    "optim": "sgd",  # Adam's states for 8B do not fit one 80 GB GPU
                }
    return found


def build(config: dict[str, Any], values: dict[str, Any]) -> Any:
    """A model on the meta device, prepared for training by LLaMA-Factory's functions."""
    import torch
    from llamafactory.hparams import FinetuningArguments, ModelArguments
    from llamafactory.model.adapter import init_adapter
    from llamafactory.model.model_utils.checkpointing import prepare_model_for_training
    from transformers import AutoConfig, AutoModelForCausalLM

    # LLaMA-Factory turns to eager attention for Gemma 2, whose scores are capped.
    eager = values.get("flash_attn") == "disabled" or config["model_type"] == "gemma2"
    attention = "eager" if eager else "sdpa"
    # Transformers 5.5 refuses a Llama whose hidden size is no multiple of its heads (Kanana 2.1B), though the model
    # itself takes an explicit head_dim: the heads are set afterwards.
    settings = AutoConfig.for_model(**config | {"num_attention_heads": config["num_key_value_heads"]})
    settings.num_attention_heads = config["num_attention_heads"]
    settings.head_dim = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    settings.use_cache = False
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(settings, dtype=torch.bfloat16, attn_implementation=attention)
    if values.get("quantization_bit") == 4:
        quantize(model)
    model_keys = ("disable_gradient_checkpointing", "quantization_bit", "upcast_lmhead_output", "flash_attn")
    tuning_keys = (
        "finetuning_type",
        "lora_rank",
        "lora_dropout",
        "lora_target",
        "pure_bf16",
        "freeze_trainable_layers",
    )
    model_args = ModelArguments(model_name_or_path="none", **{key: values[key] for key in model_keys if key in values})
    tuning_args = FinetuningArguments(**{key: values[key] for key in tuning_keys if key in values})
    prepare_model_for_training(model, model_args)
    model = init_adapter(settings, model, model_args, tuning_args, is_trainable=True)
    return model.train()


def quantize(model: Any) -> None:
    """Replace the layers' linear modules by bitsandbytes' NF4 ones with double quantization, on the meta device."""
    import bitsandbytes as bnb
    import torch
    from transformers.utils.quantization_config import QuantizationMethod

    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            parent = model.get_submodule(name.rpartition(".")[0])
            options = {"compute_dtype": torch.bfloat16, "quant_type": "nf4", "quant_storage": torch.bfloat16}
            new = bnb.nn.Linear4bit(
                module.in_features, module.out_features, module.bias is not None, device="meta", **options
            )
            new.weight = bnb.nn.Params4bit(
                module.weight.data, requires_grad=False, quant_type="nf4", quant_storage=torch.bfloat16, module=new
            )
            new.requires_grad_(False)
            setattr(parent, name.rpartition(".")[2], new)
    model.is_loaded_in_4bit, model.is_quantized = True, True
    model.quantization_method = QuantizationMethod.BITS_AND_BYTES


def materialize(model: Any, device: str) -> None:
    """Give every parameter and buffer memory on ``device``; matrices get small random weights."""
    import torch

    made: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is None:
                continue
            if id(parameter) not in made:
                data = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
                torch.nn.init.normal_(data, std=0.02) if data.ndim > 1 else torch.nn.init.ones_(data)
                made[id(parameter)] = _like(parameter, data)
            module._parameters[name] = made[id(parameter)]
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = torch.ones(buffer.shape, dtype=buffer.dtype, device=device)


def _like(parameter: Any, data: Any) -> Any:
    import torch

    if type(parameter).__name__ == "Params4bit":
        new = type(parameter)(
            data.cpu(), requires_grad=False, quant_type="nf4", quant_storage=torch.bfloat16, module=parameter.module
        )
        return new.to(data.device)  # this is where bitsandbytes quantizes
    return torch.nn.Parameter(data, requires_grad=parameter.requires_grad)


class LiveTensors:
    """Counts the bytes of all tensors that live, and their peak, while a block of code runs."""

    def __init__(self) -> None:
        self.now, self.peak = 0, 0
        self._known: set[int] = set()

    def add(self, tensor: Any) -> None:
        """Count a tensor's storage until it is freed, rounded up to 512 bytes as CUDA's allocator does."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, -(-storage.nbytes() // 512) * 512
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count everything that is made inside."""
        from torch import Tensor
        from torch.utils._python_dispatch import TorchDispatchMode
        from torch.utils._pytree import tree_iter

        watcher = self

        class Mode(TorchDispatchMode):
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                result = func(*args, **(kwargs or {}))
                for value in tree_iter(result):
                    if isinstance(value, Tensor):
                        watcher.add(value)
                return result

        with Mode():
            yield


def train(model: Any, values: dict[str, Any], device: str, steps: int, live: LiveTensors | None) -> float:
    """Train some steps; returns the seconds of the last one."""
    import torch

    rows, length = values["per_device_train_batch_size"], values["cutoff_len"]
    ids = torch.randint(0, 1000, (rows, length), device=device)
    mask = torch.ones_like(ids)
    if live is None:
        mask[:, -4:] = 0  # padded, as nearly every batch is; without, SDPA would skip the mask
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = device == "cuda"
    if values.get("optim") == "sgd":
        optimizer = torch.optim.SGD(trained, lr=1e-5, foreach=False)
    else:
        optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=fused, foreach=False)
    cast = values.get("bf16") and not values.get("pure_bf16")
    seconds = 0.0
    for step in range(steps):
        if fused:
            torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(values["gradient_accumulation_steps"]):
            autocast = torch.autocast(device, torch.bfloat16) if cast else contextlib.nullcontext()
            with autocast:
                loss = model(input_ids=ids, attention_mask=mask, labels=ids).loss
            loss.backward()
            del loss
        if live is None:
            optimizer.step()
        elif step == 0:
            add_states(optimizer)
        optimizer.zero_grad(set_to_none=True)
        if fused:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    return seconds


def add_states(optimizer: Any) -> None:
    """Give AdamW its moments without a step: the fused step allocates nothing else, the plain one would be counted."""
    import torch

    if isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for key in ("exp_avg", "exp_avg_sq"):
                optimizer.state[parameter][key] = torch.zeros_like(parameter)


def measure(config: dict[str, Any], values: dict[str, Any], device: str, steps: int = 2) -> dict[str, Any]:
    """Run one case; returns what runs.json holds of it."""
    import torch

    result: dict[str, Any] = {"config": config, "recipe": values, "gpus": 1, "device": device}
    model = build(config, values)
    if device == "cuda":
        torch.cuda.empty_cache()
        materialize(model, device)
        torch.cuda.reset_peak_memory_stats()
        seconds = train(model, values, device, steps, None)
        result["peak_allocated_bytes"] = torch.cuda.max_memory_allocated()
        result["peak_reserved_bytes"] = torch.cuda.max_memory_reserved()
    else:
        from torch._subclasses.fake_tensor import FakeTensorMode

        live = LiveTensors()
        fake = FakeTensorMode(allow_non_fake_inputs=True) if device == "fake" else contextlib.nullcontext()
        with fake:
            materialize(model, "cpu")
            for parameter in model.parameters():
                live.add(parameter)
            with live.watching():
                seconds = train(model, values, "cpu", steps, live)
        result["peak_allocated_bytes"] = live.peak
    tokens = values["per_device_train_batch_size"] * values["cutoff_len"] * values["gradient_accumulation_steps"]
    if device != "fake":
        result |= {"seconds_per_step": seconds, "tokens_per_second": tokens / seconds}
    return result


def main() -> None:
    """Run the cases that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=Path("runs.json"), help="where the results go")
    parser.add_argument("--only", default="", help="run only cases whose name contains this")
    parser.add_argument("--device", choices=("cuda", "fake", "cpu"), default="cuda")
    options = parser.parse_args()
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        print("error: there is no CUDA GPU here; --device fake checks the arithmetic without one", file=sys.stderr)
        sys.exit(1)
    runs = []
    for name, values in cases().items():
        if options.only not in name or (options.device == "fake" and "QLoRA" in name):
            continue  # bitsandbytes' kernels do not take fake tensors
        config = json.loads((CONFIGS / f"{_MODELS[name.split(' ')[0]]}.json").read_text())
        try:
            run = {"name": name, **measure(config, values, options.device)}
        except torch.cuda.OutOfMemoryError:
            print(f"{name}: out of memory, left out")
            continue
        runs.append(run)
        print(f"{name}: {run['peak_allocated_bytes'] / 1024**3:.2f} GiB", flush=True)
    if not runs:
        print(f"error: no case has {options.only!r} in its name and runs on {options.device}", file=sys.stderr)
        sys.exit(1)
    where = torch.cuda.get_device_name() if options.device == "cuda" else options.device
    options.out.write_text(json.dumps({"gpu": where, "torch": torch.__version__, "runs": runs}, indent=2) + "\n")
    print(f"written: {options.out}; next: lf-registry estimate --measured {options.out}")


if __name__ == "__main__":
    main()
