"""What an estimate leaves out or assumes for a certain recipe, one sentence each."""

from __future__ import annotations

from .activations import LIGER
from .memory import Memory
from .setup import Setup
from .shapes import Shape

_KNOWN_OPTIMIZERS = ("adam", "sgd", "lion", "rmsprop", "adagrad", "ademamix", "adafactor", "galore", "apollo", "muon")


def notes_for(shape: Shape, setup: Setup, memory: Memory) -> list[str]:
    """List what a reader of the estimate has to know about this recipe."""
    values, found = setup.values, []
    explicit = shape.query_width != shape.hidden and shape.model_type in ("llama", "gemma2")
    if explicit and shape.hidden % shape.heads:
        found.append(
            f"Transformers 5.5 refuses to load a {shape.model_type} whose hidden_size ({shape.hidden}) is no multiple of "
            f"its num_attention_heads ({shape.heads}), though the model is sound: run `lf-registry check` before renting"
        )
    if setup.zero is None and setup.precision == "fp32":
        found.append("neither bf16 nor fp16 is true: everything is computed in fp32; bf16=true halves the activations")
    if setup.method in ("full", "freeze") and setup.zero is None and not setup.pure_bf16 and setup.precision != "fp32":
        found.append("without DeepSpeed, LLaMA-Factory keeps trained weights and gradients in fp32")
    if shape.experts and setup.method == "lora":
        found.append("Transformers keeps the experts in 3-D parameters: lora_target reaches attention only")
    if shape.experts and setup.quantization_bit:
        found.append("bitsandbytes leaves the experts' 3-D parameters in 16 bits")
    if setup.quantization_bit and setup.zero and setup.zero.stage == 3:
        found.append("ZeRO-3 does not split quantized weights: every GPU is counted with all of them")
    if setup.quantization_bit == 8:
        found.append("LLM.int8() saves more for the backward pass than is counted here")
    if setup.liger and shape.model_type not in LIGER:
        found.append(f"enable_liger_kernel: LLaMA-Factory has no Liger kernels for {shape.model_type}; not counted")
    if values.get("use_unsloth") is True:
        found.append("use_unsloth: its own kernels are not modelled; it needs less than this")
    if values.get("use_dora") is True:
        found.append("use_dora: the weights' norms, computed in each step, are not counted")
    if setup.method == "oft":
        found.append("finetuning_type: oft: the rotated inputs are counted like LoRA's")
    if setup.method == "freeze" and values.get("use_llama_pro") is True:
        found.append(
            "use_llama_pro: trained layers are spread over the model; activations are counted for the last ones"
        )
    if not any(name in setup.optimizer for name in _KNOWN_OPTIMIZERS):
        found.append(f"optim: {setup.optimizer} is not known and counted like AdamW")
    if setup.optimizer.startswith("paged"):
        found.append("a paged optimizer may move its states to main memory; they are counted on the GPU")
    if setup.stage in ("rm", "dpo", "kto"):
        found.append(f"stage {setup.stage}: two answers are computed for each row, counted as twice the batch")
    if values.get("resize_vocab") is True or values.get("add_tokens") or values.get("add_special_tokens"):
        found.append("resize_vocab: new tokens, and the embeddings that are then trained, are not counted")
    if setup.zero and setup.zero.nvme:
        found.append("what is offloaded to a disk (nvme) is counted neither on the GPU nor in main memory")
    if memory.host:
        found.append(
            f"offloading takes about {memory.host / 1024**3:.0f} GiB of main memory (DeepSpeed's own factor of 1.5 included)"
        )
    return found
