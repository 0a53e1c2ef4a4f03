"""Running a model block by block gives the logits of the whole model in fp32, and takes the memory of one block."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from lf_registry.errors import UserError
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


WRAPPED = [(family, name) for family in ("llama", "llama-tied") for name in ADAPTERS]
WRAPPED.remove(("llama-tied", "saved"))  # PEFT itself trains the tied layers as two


@pytest.mark.parametrize(("family", "name"), WRAPPED)
def test_what_peft_wraps_runs_in_fp32_too(bases, tmp_path, family, name):
    from peft import PeftModel

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
    assert stored.model.embed_tokens(IDS).dtype == torch.float32 and not len(widener._memory), "only the prompt's rows"
    of(stored)
    of(stored)
    taken = 4 * len(widener._memory)
    largest = max(sum(4 * value.numel() for value in block.parameters()) for block in blocks(stored))
    assert taken == largest, "all sizes here are multiples of what a weight is aligned to"
    assert (
        memory_needed((part.name, part.shape) for part in read_base(folder).parts.values()) - memory_needed([]) == taken
    )


class Leaf(torch.nn.Module):
    def __init__(self, value: float, size: int = 4) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((size,), value, dtype=torch.bfloat16))

    def forward(self, values: torch.Tensor, *others: torch.nn.Module) -> torch.Tensor:
        for other in others:
            values = other(values)
        return values * self.weight


@pytest.mark.parametrize("size", [4, 40])
def test_a_block_inside_another_has_memory_of_its_own(size):
    model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([Leaf(2.0, size)]), "other": Leaf(3.0, size)})
    widener = Widener()
    widener.attach(model)
    for _ in range(2):
        assert model["layers"][0](torch.ones(size), model["other"]).tolist() == [6.0] * size
    assert widener._used == 0


def test_layers_of_many_shapes_take_the_memory_of_the_largest():
    model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([Leaf(1.0, 1000 + 16 * i) for i in range(20)])})
    widener = Widener()
    widener.attach(model)
    for layer in [*model["layers"], *model["layers"]]:
        layer(torch.ones(len(layer.weight)))
    assert len(widener._memory) == 1008 + 16 * 19


def test_names_without_a_number_are_blocks_of_their_own():
    shapes = [("w1", (3, 5)), ("norm2", (7,)), ("h.0.a", (2,)), ("h.0.b.3.c", (4,)), ("h.10.a", (5,))]
    assert memory_needed(shapes) - memory_needed([]) == 4 * 15
    assert memory_needed(shapes[1:]) - memory_needed([]) == 4 * 7
    assert memory_needed(shapes[2:]) - memory_needed([]) == 4 * 6


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
    assert loaded == ["BF16", "F32", "BF16", "F32"]
    monkeypatch.setattr(module, "free_memory", lambda: 1000)
    with pytest.raises(NotComparable, match="dtype"):
        compare_logits(*merged)


def test_too_little_memory_for_a_block(merged, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "free_memory", lambda: module._LIBRARIES)
    result = run_merge(Request((str(merged[1][0]),), tmp_path / "again"), show=False)
    assert result.report["verified"] == "tensors" and "too little memory is free" in str(result.notes)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_mamba_reads_weights_past_its_modules(bases, tmp_path, dtype):
    """In fp32 the base runs by blocks, where nothing is widened, and the merged model in bf16 does not."""
    base = bases("mamba", dtype)
    adapter = save_adapter(base, tmp_path / "adapter", target_modules=["in_proj"])
    result = run_merge(Request((str(adapter),), tmp_path / "out", dtype="bfloat16"), verify="logits", show=False)
    assert 0 < result.report["logits"]["distance"] < result.report["logits"]["tolerance"]


def test_a_base_in_bf16_that_becomes_fp32(bases, tmp_path):
    adapter = save_adapter(bases("llama", "bf16"), tmp_path / "adapter", target_modules=LINEAR)
    result = run_merge(Request((str(adapter),), tmp_path / "out", dtype="float32"), verify="logits", show=False)
    assert result.report["logits"]["tolerance"] == 5e-2


def test_the_first_attempt_leaves_the_memory(merged, monkeypatch):
    load_model, models, alive = module._load, [], []

    def odd(folder, trust, dtype):
        gc.collect()
        alive.append([model() is not None for model in models])
        model = load_model(folder, trust, dtype)
        models.append(weakref.ref(model))
        if dtype == "BF16":
            embedding = model.get_input_embeddings()
            model.get_output_embeddings().forward = lambda states: states @ embedding.weight.T
        return model

    monkeypatch.setattr(module, "_load", odd)
    compare_logits(*merged)
    assert alive == [[False] * i for i in range(4)]


def test_a_merged_model_that_does_not_fit_is_named(bases, tmp_path, monkeypatch):
    adapter = save_adapter(bases("mamba", "fp32"), tmp_path / "adapter", target_modules=["in_proj"])
    monkeypatch.setattr(module, "free_memory", lambda: 1000)
    request = Request((str(adapter),), tmp_path / "out", dtype="bfloat16")
    with pytest.raises(UserError, match=r"--verify logits: the merged model cannot be run here .*free memory in fp32"):
        run_merge(request, verify="logits", show=False)
