"""A recipe's values as LLaMA-Factory understands them: defaults filled in, types checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import UserError, did_you_mean
from ..recipes import Recipe, names
from .values import Values
from .zero import Zero, read_zero

METHODS = ("full", "freeze", "lora", "oft")
STAGES = ("pt", "sft", "rm", "dpo", "kto")


@dataclass(frozen=True)
class Setup:
    """What of a recipe decides memory and time; the names are LLaMA-Factory's where there is one.

    Attributes:
        values: the recipe's keys, for what is looked up once (save_steps and the like).
        precision: ``bf16``, ``fp16`` or ``fp32``.
        attention: ``sdpa``, ``eager`` or ``fa2``.
        quantization_bit: bits of the frozen weights, None without quantization.
        checkpointing: gradient checkpointing; on unless ``disable_gradient_checkpointing``.
        eval_batch: sequences that are evaluated at once on a GPU; 0 when nothing is evaluated.
        sequences: sequences computed at once per row of the batch: 2 for preference pairs.
        uses_reference: each step also runs a reference model forward (KTO, and DPO but for ORPO's and SimPO's loss);
            with an adapter that is the model without it.
        reference_model: a second, frozen copy of the model is kept for that.
        zero: the DeepSpeed file, None without one.
    """

    values: dict[str, Any]
    model: str
    stage: str
    method: str
    precision: str
    pure_bf16: bool
    attention: str
    checkpointing: bool
    offload_checkpoints: bool
    liger: bool
    quantization_bit: int | None
    double_quantization: bool
    packing: bool
    neat_packing: bool
    batch: int
    accumulation: int
    cutoff: int
    optimizer: str
    eval_batch: int
    sequences: int
    uses_reference: bool
    reference_model: bool
    lora_rank: int
    lora_dropout: float
    lora_target: tuple[str, ...]
    additional_target: tuple[str, ...]
    zero: Zero | None


def read_setup(recipe: Recipe) -> Setup:
    """Read a recipe.

    Raises:
        UserError: lists every value that LLaMA-Factory would refuse or that is not estimated.
    """
    reader = _Reader(recipe)
    setup = reader.setup()
    if reader.problems:
        raise UserError(reader.problems)
    return setup


class _Reader(Values):
    """Puts the values together."""

    def setup(self) -> Setup:
        values = self.values
        self._schedule()
        model = values.get("model_name_or_path")
        if not isinstance(model, str) or not model:
            self.problem("model_name_or_path", "is missing, so there is no model to estimate")
        stage = self.choice("stage", "sft", STAGES)
        method = self.choice("finetuning_type", "lora", METHODS)
        neat = self.flag("neat_packing")
        reference = stage == "kto" or (stage == "dpo" and values.get("pref_loss") not in ("orpo", "simpo"))
        dropout = values.get("lora_dropout", 0.0)
        if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
            self.problem("lora_dropout", f"needs a number from 0 to below 1, is {dropout!r}")
            dropout = 0.0
        return Setup(
            values=values,
            model=str(model),
            stage=stage,
            method=method,
            precision=self._precision(),
            pure_bf16=self.flag("pure_bf16"),
            attention=self._attention(),
            checkpointing=not self.flag("disable_gradient_checkpointing"),
            offload_checkpoints=self.flag("use_unsloth_gc") or self.flag("use_unsloth"),
            liger=self.flag("enable_liger_kernel"),
            quantization_bit=self._quantization(method),
            double_quantization=self.flag("double_quantization", True),
            packing=neat or self.flag("packing", stage == "pt"),
            neat_packing=neat,
            batch=self.number("per_device_train_batch_size", 8),
            accumulation=self.number("gradient_accumulation_steps", 1),
            cutoff=self.number("cutoff_len", 2048),
            optimizer=self._optimizer(),
            eval_batch=self._eval_batch(),
            sequences=2 if stage in ("rm", "dpo") else 1,
            uses_reference=reference,
            reference_model=reference and (method != "lora" or values.get("ref_model") is not None),
            lora_rank=self.number("lora_rank", 8),
            lora_dropout=float(dropout),
            lora_target=tuple(names(values.get("lora_target" if method == "lora" else "oft_target", "all"))),
            additional_target=tuple(names(values.get("additional_target"))),
            zero=self._zero(),
        )

    def _schedule(self) -> None:
        """How long is trained, and what is done every so many steps; -1 steps mean that epochs count."""
        steps = self.real("max_steps", -1, least=-1)
        self.real("num_train_epochs", 3.0, above=steps <= 0)
        for key in ("save_steps", "eval_steps", "logging_steps"):
            self.real(key, 500)
        if self.values.get("max_samples") is not None:
            self.number("max_samples", 1)

    def _eval_batch(self) -> int:
        """``per_device_eval_batch_size`` (the Trainer's default is 8), when there is something to evaluate."""
        batch, values = self.number("per_device_eval_batch_size", 8), self.values
        held_out = values.get("eval_dataset") or self.real("val_size", 0.0, least=0.0) > 0
        asked = values.get("eval_strategy") not in (None, False, "no") or values.get("do_eval") is True
        return batch if held_out and asked and values.get("predict_with_generate") is not True else 0

    def _precision(self) -> str:
        bf16, fp16 = self.flag("bf16") or self.flag("pure_bf16"), self.flag("fp16")
        if bf16 and fp16:
            self.problem("bf16, fp16", "both are set; choose one")
        return "bf16" if bf16 else "fp16" if fp16 else "fp32"

    def _attention(self) -> str:
        kind = str(self.values.get("flash_attn", "auto"))
        known = {"auto": "sdpa", "sdpa": "sdpa", "disabled": "eager", "fa2": "fa2", "fa3": "fa2"}
        if kind not in known:
            self.problem("flash_attn", f"{kind!r} does not exist; {did_you_mean(kind, known, kind='kinds')}")
        return known.get(kind, "sdpa")

    def _quantization(self, method: str) -> int | None:
        bits = self.values.get("quantization_bit")
        if bits is None:
            return None
        if self.values.get("quantization_method", "bnb") != "bnb":
            self.problem("quantization_method", "only bnb is estimated")
        if bits not in (4, 8):
            self.problem("quantization_bit", f"bitsandbytes takes 4 or 8, not {bits!r}")
        if method not in ("lora", "oft"):
            self.problem("quantization_bit", f"quantized weights cannot be trained by {method}; use lora")
        return bits if bits in (4, 8) else None

    def _optimizer(self) -> str:
        for key in ("use_galore", "use_apollo", "use_badam", "use_adam_mini", "use_muon"):
            if self.flag(key):
                return key.removeprefix("use_")
        return str(self.values.get("optim", "adamw_torch_fused"))

    def _zero(self) -> Zero | None:
        value = self.values.get("deepspeed")
        if value is None:
            return None
        try:
            return read_zero(value, f"{self.path}: deepspeed")
        except UserError as error:
            self.problems += error.problems
            return None
