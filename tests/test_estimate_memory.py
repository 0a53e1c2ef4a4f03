"""The memory formulas against PyTorch, DeepSpeed, bitsandbytes, and simulated training steps of real size."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from lf_registry.estimate.activations import activations
from lf_registry.estimate.configs import BUNDLED, load_shape
from lf_registry.estimate.measured import compare
from lf_registry.estimate.memory import estimate_memory
from lf_registry.estimate.precision import precision_of
from lf_registry.estimate.read_shape import read_shape
from lf_registry.estimate.setup import read_setup
from lf_registry.estimate.states import model_states, quantized_bytes
from lf_registry.estimate.trainable import read_trainable
from lf_registry.recipes import Recipe
from test_estimate_shapes import SMALL, build

ROOT = Path(__file__).parent.parent
_spec = importlib.util.spec_from_file_location("memory_benchmark", ROOT / "benchmarks" / "memory.py")
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)

TINY = {"model_type": "llama", **SMALL, "tie_word_embeddings": False}
ZERO = {stage: {"zero_optimization": {"stage": stage}} for stage in range(4)}
OFFLOAD = {
    "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "cpu"}}
}


def setup_of(**values):
    base = {"model_name_or_path": "m", "bf16": True, "finetuning_type": "full", "cutoff_len": 512}
    return read_setup(Recipe(Path("r.yaml"), base | {"per_device_train_batch_size": 2} | values))


@pytest.mark.parametrize(
    "values", [{}, {"pure_bf16": True}, {"finetuning_type": "lora", "lora_target": "all"}], ids=str
)
def test_states_are_what_a_real_adamw_step_holds(values):
    import torch

    model = benchmark.build(TINY, {"finetuning_type": "full", "bf16": True, "lora_target": "all"} | values)
    benchmark.materialize(model, "cpu")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    ids = torch.randint(0, 300, (2, 16))
    with torch.autocast("cpu", torch.bfloat16):
        model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    shape, setup = read_shape(TINY, "tiny"), setup_of(**values)
    states = model_states(shape, setup, read_trainable(shape, setup), 1)
    weights = sum(parameter.nbytes for parameter in model.parameters())
    moments = sum(state[key].nbytes for state in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq"))
    assert states.frozen + states.trained + states.adapter == weights
    assert states.gradients == sum(parameter.grad.nbytes for parameter in trained)
    assert states.optimizer == moments


@pytest.mark.parametrize("gpus", [1, 2, 8])
def test_zero_states_are_those_of_deepspeeds_estimators(gpus):
    """DeepSpeed's figures are those of the optimizer's step; the largest layer is counted apart.

    At stage 3 it has 18 bytes a parameter, and nothing says of what; ours are 16, and fp32 gradients of one sub-group.
    """
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
    from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs

    shape = load_shape("Qwen/Qwen2-7B-Instruct")

    def ours(config):
        setup = setup_of(deepspeed=config)
        states = model_states(shape, setup, read_trainable(shape, setup), gpus)
        held = states.frozen + states.trained + states.gradients + states.optimizer
        return held, states.host, states.step_gradients

    count = shape.parameters
    host, gpu = estimate_zero2_model_states_mem_needs(count, gpus, cpu_offload=False)
    held, _, step = ours(ZERO[2])
    assert held + step == pytest.approx(gpu, abs=8)
    host, gpu, largest = estimate_zero3_model_states_mem_needs(count, 10**8, gpus, cpu_offload=False)
    held, _, step = ours(ZERO[3])
    assert held == pytest.approx(gpu - largest - 2 * count / gpus, abs=8)
    assert step == pytest.approx(min(4e9, 4 * count / gpus))
    host, gpu, largest = estimate_zero3_model_states_mem_needs(count, 10**8, gpus)
    assert gpu == largest
    assert ours(OFFLOAD) == (0, pytest.approx(host, rel=1e-9), 0)


def test_nf4_takes_what_bitsandbytes_takes():
    import bitsandbytes.functional as bnb
    import torch

    config = TINY | {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2}
    shape = read_shape(config, "small")
    for double in (True, False):
        setup = setup_of(finetuning_type="lora", quantization_bit=4, double_quantization=double)
        real = 0
        for name, parameter in build(config).named_parameters():
            if name.endswith("_proj.weight"):
                packed, state = bnb.quantize_4bit(
                    torch.randn(parameter.shape, dtype=torch.bfloat16), compress_statistics=double, quant_type="nf4"
                )
                real += packed.nbytes + state.absmax.nbytes + (state.state2.absmax.nbytes if double else 0)
            else:
                real += 2 * parameter.numel()
        assert quantized_bytes(shape, setup) == pytest.approx(real, rel=1e-3)


METHODS = {
    "lora": {"finetuning_type": "lora", "lora_rank": 8, "lora_dropout": 0.05, "lora_target": "all"},
    "lora without dropout": {"finetuning_type": "lora", "lora_rank": 8, "lora_target": "all"},
    "lora q v": {"finetuning_type": "lora", "lora_rank": 8, "lora_target": "q_proj,v_proj"},
    "full": {"finetuning_type": "full"},
    "full in bf16": {"finetuning_type": "full", "pure_bf16": True},
}


@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_activations_are_what_autograd_really_saves(method, checkpointing):
    """On the CPU, in bf16: the distinct storages that the forward pass saves, parameters and their casts left out."""
    import torch

    config = TINY | {"hidden_size": 128, "intermediate_size": 384, "vocab_size": 1000, "num_hidden_layers": 12}
    values = METHODS[method] | {"bf16": True, "disable_gradient_checkpointing": not checkpointing}
    model = benchmark.build(config, values)
    benchmark.materialize(model, "cpu")
    weights = {parameter.numel() for parameter in model.parameters()}
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    saved = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and not (tensor.numel() in weights and tensor.ndim == 2):
            saved[storage.data_ptr()] = storage  # keeping it alive keeps its address its own
        return tensor

    ids = torch.randint(0, 1000, (2, 128))
    mask = torch.ones_like(ids)
    mask[:, -3:] = 0
    cast = contextlib.nullcontext() if values.get("pure_bf16") else torch.autocast("cpu", torch.bfloat16)
    with cast, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(input_ids=ids, attention_mask=mask, labels=ids)
    measured = sum(storage.nbytes() for storage in saved.values())
    shape = read_shape(config, "small")
    setup = setup_of(cutoff_len=128, **values)
    precision = replace(precision_of(setup), mask=4)
    active = activations(shape, setup, read_trainable(shape, setup), 128, precision)
    log_softmax = active.logits / 3
    assert active.kept + log_softmax == pytest.approx(measured, rel=0.10)


REAL = [
    ("allganize--Llama-3-Alpha-Ko-8B-Instruct", METHODS["lora"], 2, 1024),
    ("Qwen--Qwen2-7B", METHODS["full in bf16"], 1, 1024),
    ("kakaocorp--kanana-nano-2.1b-base", METHODS["full"], 1, 512),
    ("Qwen--Qwen3-4B", METHODS["lora without dropout"], 2, 512),
    ("google--gemma-2-2b", METHODS["lora"], 1, 512),
    ("google--gemma-3-1b-it", METHODS["lora"], 2, 512),
    ("LGAI-EXAONE--EXAONE-4.0-1.2B", METHODS["full"], 2, 512),
]


@pytest.mark.parametrize(
    ("model", "values", "batch", "length", "checkpointing"),
    [(*case, True) for case in REAL] + [(*case, False) for case in REAL[:3]],  # LoRA, full in bf16, full
)
def test_the_peak_is_that_of_simulated_steps_of_real_width(model, values, batch, length, checkpointing, tmp_path):
    """Fake tensors go through LLaMA-Factory's preparation and two steps; two layers show what more would repeat."""
    config = json.loads((BUNDLED / f"{model}.json").read_text()) | {"num_hidden_layers": 2}
    recipe = values | {
        "bf16": True,
        "cutoff_len": length,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": 2,
        "disable_gradient_checkpointing": not checkpointing,
    }
    run = {"name": model, **benchmark.measure(config, recipe, "fake")}
    (tmp_path / "runs.json").write_text(json.dumps({"runs": [run]}))
    (comparison,) = compare(tmp_path / "runs.json")
    assert not comparison.off, comparison
    assert comparison.ratio == pytest.approx(1, abs=0.06)


def test_the_peak_of_qlora_is_that_of_real_steps_on_the_cpu(tmp_path):
    config = TINY | {"hidden_size": 256, "intermediate_size": 1024, "vocab_size": 2000}
    recipe = METHODS["lora"] | {"quantization_bit": 4, "bf16": True, "cutoff_len": 64}
    recipe |= {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}
    run = {"name": "tiny", **benchmark.measure(config, recipe, "cpu")}
    (tmp_path / "runs.json").write_text(json.dumps({"runs": [run]}))
    (comparison,) = compare(tmp_path / "runs.json")
    assert not comparison.off, comparison
    assert comparison.tokens_per_second > 0


def test_the_benchmark_says_that_it_needs_a_gpu(tmp_path, monkeypatch, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr("sys.argv", ["memory.py", "--out", str(tmp_path / "runs.json")])
    with pytest.raises(SystemExit) as stopped:
        benchmark.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.strip().startswith("error: there is no CUDA GPU here")
    assert not (tmp_path / "runs.json").exists()


def total(shape, gpus=1, **values):
    return estimate_memory(shape, setup_of(**values), gpus)


LLAMA = load_shape("meta-llama/Llama-3.1-8B")
LORA = METHODS["lora"]


def test_more_of_anything_takes_more():
    lora = total(LLAMA, **LORA).total
    assert total(LLAMA, **LORA, per_device_train_batch_size=4).total > lora
    assert total(LLAMA, **LORA, cutoff_len=4096).total > lora
    assert total(LLAMA, **LORA | {"lora_rank": 256}).total > lora
    assert total(LLAMA, **LORA, disable_gradient_checkpointing=True).total > lora
    assert total(LLAMA, **LORA, quantization_bit=4).total < lora - 8 * 1024**3
    assert total(LLAMA, **LORA, quantization_bit=4).total < total(LLAMA, **LORA, quantization_bit=8).total
    assert total(LLAMA).total > total(LLAMA, finetuning_type="freeze").total > lora
    assert total(LLAMA, **LORA, enable_liger_kernel=True).total < lora
    assert total(LLAMA, optim="adamw_8bit").total < total(LLAMA).total - 40 * 1024**3


def test_eager_attention_grows_with_the_square_of_the_length():
    long = {"cutoff_len": 8192, "disable_gradient_checkpointing": True, "per_device_train_batch_size": 1}
    eager = total(LLAMA, **LORA | long, flash_attn="disabled").parts["activations"]
    assert eager > 5 * total(LLAMA, **LORA | long, flash_attn="fa2").parts["activations"]


def test_zero3_divides_the_states_by_the_gpus():
    def states(gpus):
        parts = total(LLAMA, gpus, deepspeed=ZERO[3], gradient_accumulation_steps=8, cutoff_len=8).parts
        return sum(parts[name] for name in ("trained weights", "optimizer states"))

    assert states(2) == pytest.approx(states(1) / 2)
    assert states(8) == pytest.approx(states(1) / 8)
    stages = [total(LLAMA, 8, deepspeed=ZERO[stage]).total for stage in (0, 1, 2, 3)]
    assert stages[0] > stages[1] > stages[2] > stages[3]


def test_offload_moves_the_states_to_main_memory():
    inside, outside = total(LLAMA, 1, deepspeed=ZERO[3]), total(LLAMA, 1, deepspeed=OFFLOAD)
    assert inside.host == 0
    assert outside.host > 18 * LLAMA.parameters
    assert outside.total < inside.total / 5
    assert "optimizer states" not in outside.parts
    assert "trained weights" not in outside.parts
