"""Tiny bases and adapters for the merge, one of every kind, and PEFT's own merge of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = SIZES | {"num_key_value_heads": 2, "vocab_size": 160, "bos_token_id": 1, "eos_token_id": 2}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "head_dim": 16}
ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 4]}}
QWEN_EYES = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 4, "mlp_ratio": 2, "patch_size": 4}
EYES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
EYES |= {"image_size": 16, "patch_size": 4}
IMAGES = {"image_token_id": 5, "video_token_id": 6, "vision_start_token_id": 7, "vision_end_token_id": 8}
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def _config(family: str):
    import transformers as hf

    return {
        "llama": lambda: hf.LlamaConfig(**LLAMA),
        "llama-bias": lambda: hf.LlamaConfig(**LLAMA, attention_bias=True, mlp_bias=True),
        "llama-tied": lambda: hf.LlamaConfig(**LLAMA, tie_word_embeddings=True),
        "qwen2": lambda: hf.Qwen2Config(**LLAMA),
        "qwen2-tied": lambda: hf.Qwen2Config(**LLAMA, tie_word_embeddings=True),
        "gpt2": lambda: hf.GPT2Config(vocab_size=160, n_embd=64, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2),
        "mamba": lambda: hf.MambaConfig(vocab_size=160, hidden_size=64, num_hidden_layers=2, state_size=8),
        "mixtral": lambda: hf.MixtralConfig(**LLAMA, num_local_experts=4),
        "qwen3-moe": lambda: hf.Qwen3MoeConfig(**LLAMA, **EXPERTS),
        "qwen2-vl": lambda: hf.Qwen2VLConfig(text_config=LLAMA | ROPE, vision_config=QWEN_EYES, **IMAGES),
        "llava": lambda: _llava(tied=False),
        "llava-tied": lambda: _llava(tied=True),
    }[family]()


def _llava(*, tied: bool):
    import transformers as hf

    text, eyes = hf.LlamaConfig(**LLAMA), hf.CLIPVisionConfig(**EYES)
    return hf.LlavaConfig(text_config=text, vision_config=eyes, image_token_index=5, tie_word_embeddings=tied)


def auto(config):
    """The Auto class that a config belongs to."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForCausalLM if type(config) in AutoModelForCausalLM._model_mapping else AutoModelForImageTextToText


def load(folder: Path, **options):
    from transformers import AutoConfig

    return auto(AutoConfig.from_pretrained(folder)).from_pretrained(folder, **options)


def shake(model, names: tuple[str, ...], seed: int = 1) -> None:
    """Give every trained parameter values as if it had been trained."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in names):
                parameter.add_(torch.randn(parameter.shape) * 0.05)


TRAINED = ("lora_", "modules_to_save", "trainable_tokens_delta")


def save_adapter(base: Path, folder: Path, *, seed: int = 1, resize: int | None = None, types=None, **config) -> Path:
    """Make an adapter of the base as PEFT does, with values that a training could have given it."""
    from peft import LoraConfig, get_peft_model

    model = load(base)
    if resize:
        model.resize_token_embeddings(resize, mean_resizing=False)
    model = get_peft_model(model, LoraConfig(**{"r": 8, "lora_alpha": 20, "task_type": "CAUSAL_LM"} | config))
    names = TRAINED + (("bias",) if config.get("bias", "none") != "none" else ())
    shake(model, names, seed)
    if types is not None:
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.to(types)
    model.save_pretrained(folder)
    return folder


def change_tensors(folder: Path, change) -> Path:
    """Write the one weight file of a folder again, with what ``change`` makes of its tensors."""
    from safetensors.torch import load_file, save_file

    path = next(folder.glob("*.safetensors"))
    save_file({name: t.clone() for name, t in change(load_file(path)).items()}, path, metadata={"format": "pt"})
    return folder


def peft_merged(base: Path, *adapters: Path, resize: int | None = None, untie: bool = False, **options) -> dict:
    """The state dict of PEFT's own merge on the CPU."""
    from peft import PeftModel

    model = load(base, **options)
    if untie:
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.get_input_embeddings().weight.detach().clone())
    if resize:
        model.resize_token_embeddings(resize, mean_resizing=False)
    for adapter in adapters:
        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return model.state_dict()


def same(got: dict, expected: dict) -> None:
    """Compare two state dicts bit for bit."""
    assert set(got) == set(expected)
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype, name
        differing = (got[name] != tensor).sum().item() if got[name].shape == tensor.shape else got[name].shape
        assert torch.equal(got[name], tensor), f"{name}: {differing} of {tensor.numel()}"


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """A function that gives the folder of a base, made the first time it is asked for."""
    root = tmp_path_factory.mktemp("bases")

    @cache
    def make(family: str, dtype: str = "bf16", shard: str = "5GB") -> Path:
        folder = root / f"{family}-{dtype}-{shard}"
        torch.manual_seed(0)
        config = _config(family)
        model = auto(config).from_config(config, dtype=TYPES[dtype])
        shake(model, ("bias", "norm", "ln_"))
        model.save_pretrained(folder, max_shard_size=shard)
        return folder

    return make


@pytest.fixture
def merged(tmp_path):
    """A function that merges and gives the result's folder."""
    from lf_registry.merge.resolve import Request
    from lf_registry.merge.run import run_merge

    def run(*adapters: Path, out: str = "merged", verify: str = "tensors", threads: int = 2, **options) -> Path:
        request = Request(tuple(map(str, adapters)), tmp_path / out, **options)
        return run_merge(request, threads=threads, verify=verify, show=False).out

    return run
