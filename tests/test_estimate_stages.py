"""What a preference stage and an evaluation hold, against LLaMA-Factory's own code run on the CPU."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from lf_registry.estimate.configs import load_shape
from lf_registry.estimate.cost import flops_per_token
from lf_registry.estimate.logits import evaluation_logits_bytes, logits_bytes
from lf_registry.estimate.memory import estimate_memory
from lf_registry.estimate.read_shape import read_shape
from lf_registry.estimate.setup import read_setup
from lf_registry.recipes import Recipe
from test_estimate_memory import benchmark

VOCABULARY, ROWS, LENGTH = 20_000, 4, 64
CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": True,
}
LLAMA = load_shape("meta-llama/Llama-3.1-8B")


def setup_of(**values):
    base = {"model_name_or_path": "m", "bf16": True, "cutoff_len": 1024, "per_device_train_batch_size": 2}
    return read_setup(Recipe(Path("r.yaml"), base | values))


def trainer_of(stage, loss):
    """One of LLaMA-Factory's trainers with what its loss needs, and no training around it."""
    from llamafactory.train.dpo.trainer import CustomDPOTrainer
    from llamafactory.train.kto.trainer import CustomKTOTrainer

    accelerator = SimpleNamespace(
        device="cpu",
        unwrap_model=lambda model: SimpleNamespace(disable_adapter=contextlib.nullcontext),
        gather_for_metrics=lambda value: value,
    )
    trainer = {"dpo": CustomDPOTrainer, "kto": CustomKTOTrainer}[stage].__new__(
        {"dpo": CustomDPOTrainer, "kto": CustomKTOTrainer}[stage]
    )
    trainer.finetuning_args = SimpleNamespace(use_ref_model=loss not in ("orpo", "simpo"))
    trainer.__dict__ |= {
        "accelerator": accelerator,
        "loss_type": "kto" if stage == "kto" else loss,
        "beta": 0.1,
        "ftx_gamma": 0.0,
        "bco_gemma": 0.0,
        "ld_alpha": None,
        "label_smoothing": 0.0,
        "f_divergence_type": "reverse_kl",
        "reference_free": False,
        "ref_model": None,
        "desirable_weight": 1.0,
        "undesirable_weight": 1.0,
        "calculate_KL": True,
        "_stored_metrics": defaultdict(lambda: defaultdict(list)),
    }
    return trainer


def peaks(step):
    """Peak bytes of all tensors while the loss is computed, and while its backward pass runs."""
    import torch

    model = benchmark.build(CONFIG, {"finetuning_type": "full", "pure_bf16": True})
    benchmark.materialize(model, "cpu")
    ids = torch.randint(0, 1000, (ROWS, LENGTH))
    live = benchmark.LiveTensors()
    with live.watching():
        loss = step(model, ids)
        forward, live.peak = live.peak, live.now
        if loss is not None:
            loss.backward()
    return forward, live.peak


@pytest.mark.parametrize(("stage", "loss"), [("dpo", "sigmoid"), ("dpo", "orpo"), ("kto", "sigmoid")])
def test_a_preference_loss_holds_what_llamafactory_holds(stage, loss):
    import torch

    trainer = trainer_of(stage, loss)

    def step(model, ids):
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
        if stage == "kto":
            batch |= {f"kl_{key}": value for key, value in batch.items()}
            batch["kto_tags"] = torch.tensor([True, False] * (ROWS // 2))
        return trainer.get_batch_loss_metrics(model, batch)[0]

    forward, backward = peaks(step)
    setup = setup_of(stage=stage, pref_loss=loss, pure_bf16=True, finetuning_type="full")
    start, end = logits_bytes(read_shape(CONFIG, "tiny"), setup, ROWS * LENGTH)
    copied = 4 * VOCABULARY * ROWS * LENGTH  # by the kernel of log_softmax, which no mode sees
    assert end - copied == pytest.approx(forward, rel=0.12)
    assert start == pytest.approx(backward, rel=0.12)


def test_an_evaluation_holds_what_the_model_makes():
    import torch

    def step(model, ids):
        model.eval()
        with torch.no_grad():
            model(input_ids=ids, labels=ids)

    forward, _ = peaks(step)
    setup = setup_of(per_device_eval_batch_size=ROWS, finetuning_type="full", pure_bf16=True)
    assert evaluation_logits_bytes(read_shape(CONFIG, "t"), setup, ROWS * LENGTH) == pytest.approx(forward, rel=0.12)


HELD_OUT = {"val_size": 0.1, "eval_strategy": "steps"}


def test_a_large_batch_that_is_evaluated_can_be_the_fullest_moment():
    without = estimate_memory(LLAMA, setup_of())
    default = estimate_memory(LLAMA, setup_of(**HELD_OUT))  # the Trainer evaluates 8 rows at once
    assert default.moment == "evaluation"
    assert default.total > without.total + 10 * LLAMA.vocabulary * 1024 * (8 - 2)
    assert estimate_memory(LLAMA, setup_of(**HELD_OUT, per_device_eval_batch_size=1)).total == without.total
    assert estimate_memory(LLAMA, setup_of(val_size=0.1)).total == without.total  # held out, but never evaluated
    liger = estimate_memory(LLAMA, setup_of(**HELD_OUT, enable_liger_kernel=True))
    assert liger.total > default.total - 1024**3  # its fused loss is for training alone


def test_the_reference_model_is_counted_where_llamafactory_loads_one():
    def frozen(**values):
        return estimate_memory(LLAMA, setup_of(**values)).parts.get("frozen weights", 0)

    whole = 2 * LLAMA.parameters
    assert frozen(stage="dpo") == frozen(stage="kto") == whole
    assert frozen(stage="dpo", ref_model="other") == 2 * whole
    assert frozen(stage="dpo", finetuning_type="oft") == 2 * whole
    assert frozen(stage="dpo", finetuning_type="full", pref_loss="orpo") == 0
    assert frozen(stage="kto", finetuning_type="full", pref_loss="orpo") == whole  # pref_loss is for dpo alone


def test_the_passes_of_a_preference_stage_are_counted():
    def flops(**values):
        return flops_per_token(LLAMA, setup_of(disable_gradient_checkpointing=True, **values), 1)[0]

    sft = flops()
    assert flops(stage="rm") == 2 * sft
    assert flops(stage="dpo", pref_loss="orpo") == 2 * sft
    assert flops(stage="dpo") == pytest.approx(2 * sft * 3 / 2, rel=0.02)  # LoRA: forward and backward, and a forward
    assert flops(stage="kto") == pytest.approx(sft * 5 / 2, rel=0.02)


def test_layerwise_galore_holds_the_gradient_of_one_matrix():
    galore = {"finetuning_type": "full", "pure_bf16": True, "use_galore": True}
    whole, layerwise = (estimate_memory(LLAMA, setup_of(**galore, galore_layerwise=value)) for value in (False, True))
    assert layerwise.total < whole.total - 10 * 1024**3
