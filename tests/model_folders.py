"""Tiny models and adapters of several families, as Transformers and PEFT save them."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from lf_registry.check.checkpoint import check_model_folder

CORPUS = ["아이언맨은 수트를 입는다. 자비스가 대답한다.", "피터는 숙제를 하러 집에 갔다."] * 20
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def _configs(vocabulary: int):
    import transformers as hf

    sizes = SIZES | {"vocab_size": vocabulary, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8}
    gpt2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
    llama = hf.LlamaConfig(**sizes)
    return {
        "llama": llama,
        "sharded": llama,
        "llama-tied": hf.LlamaConfig(**sizes, tie_word_embeddings=True),
        "qwen2": hf.Qwen2Config(**sizes),
        "gemma2": hf.Gemma2Config(**sizes, head_dim=8),
        "mistral": hf.MistralConfig(**sizes),
        "gpt2": hf.GPT2Config(vocab_size=vocabulary, **gpt2),
        "qwen3-moe": hf.Qwen3MoeConfig(**sizes, **experts),
        "qwen2-vl": hf.Qwen2VLConfig(
            text_config=sizes | {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}},
            vision_config={"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 4},
        ),
        "mixtral": hf.MixtralConfig(**sizes, num_local_experts=4),
    }


def _adapters():
    from peft import LoraConfig, PrefixTuningConfig

    lora = {"r": 4, "task_type": "CAUSAL_LM"}
    pattern = {r"layers\.1\.self_attn\.q_proj": 2}
    return {
        "adapter": ("llama", LoraConfig(**lora, target_modules=["q_proj", "v_proj", "embed_tokens"])),
        "adapter-pattern": ("llama", LoraConfig(**lora, target_modules="all-linear", rank_pattern=pattern)),
        "adapter-gpt2": (
            "gpt2",
            LoraConfig(**lora, target_modules=["c_attn"], modules_to_save=["lm_head"], use_dora=True),
        ),
        "adapter-prefix": ("llama", PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")),
    }


@cache
def _tokenizer():
    from lf_registry.tiny.model import build_tokenizer

    return build_tokenizer(CORPUS, 300)


def _save_model(name: str, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    torch.manual_seed(0)
    auto = AutoModelForImageTextToText if name == "qwen2-vl" else AutoModelForCausalLM
    model = auto.from_config(_configs(len(_tokenizer()))[name], dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="30KB" if name == "sharded" else "5GB")
    _tokenizer().save_pretrained(folder)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A function that gives the folder of a model or an adapter, made the first time it is asked for."""
    root = tmp_path_factory.mktemp("models")

    @cache
    def make(name: str) -> Path:
        if not name.startswith("adapter"):
            _save_model(name, root / name)
            return root / name
        from peft import get_peft_model
        from transformers import AutoModelForCausalLM

        base, config = _adapters()[name]
        get_peft_model(AutoModelForCausalLM.from_pretrained(make(base)), config).save_pretrained(root / name)
        return root / name

    return make


@pytest.fixture
def copied(models, tmp_path):
    """A function that gives a copy of a model's folder, to be broken."""
    return lambda name: Path(shutil.copytree(models(name), tmp_path / "model"))


@pytest.fixture
def finds(copied):
    """A function that breaks a copy of a model and compares what is found."""

    def compare(severity: str, base: str, change, codes: str | list[str], words: str) -> None:
        folder = copied(base)
        change(folder)
        findings, _ = checked(folder, adapter=base.startswith("adapter"))
        assert [found.code for found in findings] == ([codes] if isinstance(codes, str) else codes)
        assert findings[0].severity == severity
        assert str(folder) in findings[0].where
        assert words in "\n".join([findings[0].where, findings[0].message, findings[0].fix, *findings[0].details])

    return compare


def checked(folder: Path, **options):
    """Check a folder; whatever is found is complete, and no longer than anyone reads."""
    findings, notes = check_model_folder(folder, **options)
    for found in findings:
        assert found.code and found.where and found.message and found.fix
        assert len(found.details) <= 9
    return findings, notes
