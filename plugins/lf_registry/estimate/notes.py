"""What an estimate leaves out or assumes for a certain recipe, one sentence each."""

from __future__ import annotations

from .logits import LIGER
from .memory import Memory
from .setup import Setup
from .shapes import Shape

#: GPUs that one machine has at most, as they are rented.
MACHINE = 8
_KNOWN_OPTIMIZERS = ("adam", "sgd", "lion", "rmsprop", "adagrad", "ademamix", "adafactor", "galore", "apollo", "muon")


def notes_for(shape: Shape, setup: Setup, memory: Memory, gpus: int = 1) -> list[str]:
    """List what a reader of the estimate has to know about this recipe."""
    return [
        text for applies, text in (*_model(shape, setup), *_method(setup), *_places(setup, memory, gpus)) if applies
    ]


def _model(shape: Shape, setup: Setup) -> list[tuple[object, str]]:
    lora, bits = setup.method == "lora", setup.quantization_bit
    strict = shape.model_type == "gemma2" and shape.hidden % shape.heads
    return [
        (
            strict,
            f"Transformers 5.5 refuses a {shape.model_type} whose hidden_size ({shape.hidden}) is no multiple of its "
            f"num_attention_heads ({shape.heads}), though such a model is sound: see that it loads before you rent",
        ),
        (
            shape.experts and lora,
            "Transformers keeps the experts in 3-D parameters: lora_target reaches attention only",
        ),
        (shape.experts and bits, "bitsandbytes leaves the experts' 3-D parameters in 16 bits"),
        (bits == 8, "LLM.int8() saves more for the backward pass than is counted here"),
        (
            setup.liger and shape.model_type not in LIGER,
            f"enable_liger_kernel: LLaMA-Factory has no Liger kernels for {shape.model_type}; not counted",
        ),
    ]


def _method(setup: Setup) -> list[tuple[object, str]]:
    values = setup.values
    fp32 = setup.precision == "fp32"
    weights_fp32 = setup.method in ("full", "freeze") and setup.zero is None and not setup.pure_bf16 and not fp32
    resized = values.get("resize_vocab") is True or values.get("add_tokens") or values.get("add_special_tokens")
    return [
        (
            fp32 and setup.zero is None,
            "neither bf16 nor fp16 is true: everything is computed in fp32; bf16=true halves the activations",
        ),
        (weights_fp32, "without DeepSpeed, LLaMA-Factory keeps trained weights and gradients in fp32"),
        (values.get("use_unsloth") is True, "use_unsloth: its own kernels are not modelled; it needs less than this"),
        (values.get("use_dora") is True, "use_dora: the weights' norms, computed in each step, are not counted"),
        (setup.method == "oft", "finetuning_type: oft: the rotated inputs are counted like LoRA's"),
        (
            setup.method == "freeze" and values.get("use_llama_pro") is True,
            "use_llama_pro: the trained layers lie apart; activations are counted as if they were the last ones",
        ),
        (
            not any(name in setup.optimizer for name in _KNOWN_OPTIMIZERS),
            f"optim: {setup.optimizer} is not known and counted like AdamW",
        ),
        (
            setup.optimizer.startswith("paged"),
            "a paged optimizer may move its states to main memory; they are counted on the GPU",
        ),
        (
            setup.sequences > 1,
            f"stage {setup.stage}: two answers are computed for each row, counted as twice the batch",
        ),
        (
            setup.reference_model and values.get("ref_model"),
            "ref_model: counted as a model as large as the one that is trained",
        ),
        (
            values.get("predict_with_generate") is True,
            "predict_with_generate: the memory and time of generating answers for the held-out rows are not counted",
        ),
        (setup.optimizer == "badam", "use_badam: counted like AdamW on all weights; it needs less than this"),
        (resized, "resize_vocab: new tokens, and the embeddings that are then trained, are not counted"),
    ]


def _places(setup: Setup, memory: Memory, gpus: int) -> list[tuple[object, str]]:
    zero = setup.zero
    return [
        (
            gpus > MACHINE,
            f"{gpus} GPUs are several machines of at most {MACHINE}: the network between them is not modelled, so "
            "count on more time and money; start one torchrun on each (NNODES, NODE_RANK, MASTER_ADDR)",
        ),
        (
            setup.quantization_bit and zero and zero.stage == 3,
            "ZeRO-3 does not split quantized weights: every GPU is counted with all of them",
        ),
        (
            zero and zero.nvme,
            "what is offloaded to a disk (nvme) is counted neither on the GPU nor in main memory",
        ),
        (
            memory.moment == "evaluation",
            f"evaluating {setup.eval_batch} rows at once takes more than training: per_device_eval_batch_size=1",
        ),
        (
            memory.host,
            f"offloading takes about {memory.host / 1024**3:.0f} GiB of main memory of the machine (DeepSpeed's own "
            "factor of 1.5 for buffers included)",
        ),
    ]
