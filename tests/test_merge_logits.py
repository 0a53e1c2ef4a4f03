"""Running a model block by block gives the logits of the whole model in fp32, and takes the memory of one block."""

from __future__ import annotations

import pytest
import torch

from lf_registry.merge import logits as module
from lf_registry.merge.blockwise import Widener, blocks
from lf_registry.merge.checkpoint import read_base
from lf_registry.merge.logits import NotComparable, compare_logits, memory_needed
from lf_registry.merge.resolve import Request
from lf_registry.merge.run import run_merge
from merge_models import load, save_adapter

IDS = torch.arange(32)[None]
LINEAR = ["q_proj", "v_proj"]
ADAPTERS = {
    "lora": {"target_modules": LINEAR},
    "dora": {"target_modules": LINEAR, "use_dora": True},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "saved": {"target_modules": LINEAR, "modules_to_save": ["lm_head", "embed_tokens", "input_layernorm"]},
    "tokens": {"target_modules": LINEAR, "trainable_token_indices": [3, 7]},
}
FAMILIES = ["llama", "llama-tied", "llama-bias", "qwen2", "gpt2", "mixtral", "qwen3-moe", "qwen2-vl", "llava"]


def of(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(IDS).logits


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_logits_are_those_of_the_model_in_fp32(bases, family, dtype):
    folder = bases(family, dtype)
    stored = load(folder)
    before = {name: tensor.clone() for name, tensor in stored.state_dict().items()}
    widener = Widener()
    widener.attach(stored)
    got = of(stored)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, of(load(folder, dtype=torch.float32)), rtol=1e-5, atol=1e-6)
    for name, tensor in stored.state_dict().items():
        assert tensor.dtype == before[name].dtype and torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("family", ["llama", "llama-tied"])
@pytest.mark.parametrize("name", ADAPTERS)
def test_what_peft_wraps_runs_in_fp32_too(bases, tmp_path, family, name):
    from peft import PeftModel

    if (family, name) == ("llama-tied", "saved"):
        pytest.skip("PEFT itself trains the tied layers as two")
    folder = bases(family, "bf16")
    adapter = save_adapter(folder, tmp_path / "adapter", **ADAPTERS[name])
    stored = PeftModel.from_pretrained(load(folder), str(adapter))
    Widener().attach(stored)
    wide = PeftModel.from_pretrained(load(folder, dtype=torch.float32), str(adapter))
    # What is saved whole was trained, and saved, in bf16 here: nothing is lost on either side.
    torch.testing.assert_close(of(stored), of(wide), rtol=1e-5, atol=1e-6)


def test_the_memory_is_that_of_one_block(bases):
    folder = bases("qwen3-moe", "bf16")
    stored, widener = load(folder), Widener()
    widener.attach(stored)
    assert stored.model.embed_tokens(IDS).dtype == torch.float32 and not widener._buffers, "only the rows of the prompt"
    of(stored)
    of(stored)
    taken = sum(4 * buffer.numel() for buffer in widener._buffers.values())
    layer = sum(4 * value.numel() for value in stored.model.layers[0].parameters())
    assert taken == layer + 4 * (stored.lm_head.weight.numel() + stored.model.norm.weight.numel())
    needed = memory_needed((part.name, part.shape) for part in read_base(folder).parts.values())
    assert needed - memory_needed([]) == taken + 4 * stored.model.embed_tokens.weight.numel()


class Scaled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
        self.register_buffer("scale", torch.full((3,), 1 / 3, dtype=torch.bfloat16))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        assert {self.weight.dtype, self.scale.dtype} == {torch.float32}
        return values * self.weight * self.scale


def test_buffers_are_widened_too_and_restored_after_an_error():
    model = torch.nn.Sequential(Scaled())
    Widener().attach(model)
    assert model(torch.ones(3)).dtype == torch.float32
    with pytest.raises(RuntimeError):
        model(torch.ones(4))
    assert {model[0].weight.dtype, model[0].scale.dtype} == {torch.bfloat16}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_is_in_one_block(bases, family):
    model = load(bases(family))
    held = [id(weight) for block in set(blocks(model)) for weight in {id(w): w for w in block.parameters()}.values()]
    assert set(held) == {id(weight) for weight in model.parameters()}


@pytest.fixture
def merged(bases, tmp_path):
    base = bases("llama", "bf16")
    adapter = save_adapter(base, tmp_path / "adapter", target_modules=LINEAR)
    run_merge(Request((str(adapter),), tmp_path / "out"), verify="none", show=False)
    return base, [adapter], tmp_path / "out"


def test_a_model_that_reads_weights_of_another_block_is_loaded_in_fp32(merged, monkeypatch):
    expected = compare_logits(*merged)
    assert 0 < expected["distance"] < expected["tolerance"] and expected["tokens"] == 32
    loaded, load_model, attach = [], module._load, Widener.attach

    def note(folder, trust, dtype):
        loaded.append(dtype)
        return load_model(folder, trust, dtype)

    def odd(self, model):
        attach(self, model)
        model.get_output_embeddings().forward = lambda states: states @ model.get_input_embeddings().weight.T

    monkeypatch.setattr(module, "_load", note)
    monkeypatch.setattr(Widener, "attach", odd)
    assert compare_logits(*merged)["distance"] == pytest.approx(expected["distance"], rel=1e-3)
    assert loaded == ["BF16", "F32", "F32"]
    monkeypatch.setattr(module, "free_memory", lambda: 1000)
    with pytest.raises(NotComparable, match="dtype"):
        compare_logits(*merged)


def test_too_little_memory_for_a_block(merged, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "free_memory", lambda: module._LIBRARIES)
    result = run_merge(Request((str(merged[1][0]),), tmp_path / "again"), show=False)
    assert result.report["verified"] == "tensors" and "too little memory is free" in str(result.notes)
