"""Bytes of the logits, which with a vocabulary of 128k are often the largest part of a step."""

from __future__ import annotations

from .setup import Setup
from .shapes import Shape

#: LLaMA-Factory's ``model_utils/liger_kernel.py`` knows these of our types; with others it only warns.
LIGER = ("llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text")


def logits_bytes(shape: Shape, setup: Setup, tokens: int) -> tuple[float, float]:
    """Bytes of the logits at the start of the backward and the end of the forward pass.

    ``pt``, ``sft``: Transformers (loss/loss_utils.py, ``ForCausalLMLoss``) casts the 16-bit logits to fp32 and takes
    the cross entropy of all positions at once. Its log-softmax is saved (4 bytes); backward makes the gradient with
    respect to it and with respect to the logits (4 + 4). In the forward pass there are 16-bit logits, fp32 logits and
    the log-softmax (2 + 4 + 4). Nothing is computed in chunks. Liger's fused loss takes chunks of tokens so that a
    chunk's logits are about as large as the hidden states (liger_kernel/ops/fused_linear_cross_entropy.py).

    ``dpo``, ``kto`` (LLaMA-Factory's train/dpo/trainer.py, ``get_batch_logps``): fp32 logits are held for the metrics
    while their log-softmax is saved (4 + 4), and the log-softmax first makes a contiguous copy (4). The reference
    model's forward pass comes while both are held, and needs 12 of its own; KTO's computes a second answer, while it
    holds the first one's logits (4 more). Backward is as above.

    ``rm`` (trl's value head): the logits are computed and cast (2 + 4), but are no part of the loss.

    Args:
        tokens: of the sequences that are computed at once, padding included.
    """
    area = shape.vocabulary * tokens
    size = 4 if setup.precision == "fp32" else 2
    cap = size * area if shape.logit_cap else 0
    if setup.stage == "rm":
        return 0.0, (4 if size == 4 else 6) * area + cap
    if setup.stage in ("dpo", "kto"):
        held = {"dpo": 8, "kto": 12}[setup.stage] if setup.uses_reference else 0
        return 12 * area + cap, (held + 12) * area + cap
    if setup.liger and shape.model_type in LIGER:
        chunk = tokens / -(-shape.vocabulary // shape.hidden)
        fused = 6 * chunk * shape.vocabulary + 2 * tokens * shape.hidden
        return fused, fused
    return 12 * area + cap, (8 if size == 4 else 10) * area + cap


def evaluation_logits_bytes(shape: Shape, setup: Setup, tokens: int) -> float:
    """Bytes of the logits of a batch that is evaluated.

    Nothing is saved for a backward pass, but the loss needs as much as in a forward pass; Liger's fused loss is for
    training alone (its ``skip_logits``), so that evaluation makes the whole logits again.
    """
    area = shape.vocabulary * tokens
    size = 4 if setup.precision == "fp32" else 2
    factor = 8 if size == 4 else 10
    if setup.stage == "rm":
        factor = 4 if size == 4 else 6
    elif setup.stage in ("dpo", "kto"):
        factor = 12 + (4 if setup.uses_reference else 0) * (2 if setup.stage == "kto" else 1)
    return (factor + (size if shape.logit_cap else 0)) * area
