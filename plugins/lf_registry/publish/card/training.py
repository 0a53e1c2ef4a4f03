"""How a model was trained, as far as its folder and its recipe say it. Nothing is guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..artifact import Artifact
from ..plots import has_curve
from ..record import hardware

#: Loss plots that LLaMA-Factory draws, in the order of the card.
_PLOTS = {"training_loss.png": "Training loss", "training_eval_loss.png": "Evaluation loss"}
_MOST_EVALUATIONS = 12


@dataclass(frozen=True)
class Training:
    """The facts of a training.

    Attributes:
        rows: what the table of the card says: name -> text.
        evaluations: step, epoch and ``eval_loss`` of evaluations, in order, at most twelve.
        eval_loss: of the published weights; None when it was not measured.
        plots: image files in the folder -> what they show.
        versions: library -> version, of the training itself.
    """

    rows: dict[str, str] = field(default_factory=dict)
    evaluations: tuple[tuple[int, float, float], ...] = ()
    eval_loss: float | None = None
    plots: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def training_facts(artifact: Artifact, recipe: dict[str, Any], base: str) -> Training:
    """Collect the facts of a training.

    Args:
        artifact: the folder.
        recipe: the recipe's keys; empty when there is none.
        base: the base model's Hub id.
    """
    facts = {key: value for key, value in artifact.facts.items() if isinstance(value, dict)}
    state = facts.get("trainer_state", {})
    results = facts.get("train_results", {}) | facts.get("eval_results", {}) | facts.get("all_results", {})
    evaluations = _evaluations(state)
    eval_loss = results.get("eval_loss")
    if eval_loss is None:
        eval_loss = _loss_of_the_last_weights(state, recipe)
    rows = {
        "base model": f"[{base}](https://huggingface.co/{base})",
        "method": _method(artifact, recipe, facts.get("adapter_config", {})),
        "chat template": _code(recipe.get("template") or facts.get("merge_report", {}).get("template")),
        "epochs": _number(state.get("epoch") or results.get("epoch") or recipe.get("num_train_epochs")),
        "steps": _number(state.get("global_step")),
        "batch": _batch(state, results, recipe),
        "learning rate": _learning_rate(recipe),
        "longest example": f"{recipe['cutoff_len']:,} tokens" if isinstance(recipe.get("cutoff_len"), int) else "",
        "DeepSpeed": _code(Path(recipe["deepspeed"]).name) if isinstance(recipe.get("deepspeed"), str) else "",
        "hardware": hardware(artifact.training),
        "time": duration(results.get("train_runtime")),
        "training loss": _number(results.get("train_loss")),
        "evaluation loss": _number(eval_loss),
    }
    return Training(
        {name: text for name, text in rows.items() if text},
        evaluations if len(evaluations) > 1 else (),
        float(eval_loss) if isinstance(eval_loss, int | float) else None,
        {name: what for name, what in _PLOTS.items() if _is_drawn(artifact.training / name, state)},
        _versions(artifact, facts),
    )


def _is_drawn(path: Path, state: dict[str, Any]) -> bool:
    return path.is_file() and has_curve(path.name, state)


def duration(seconds: object) -> str:
    """Seconds as people say them: ``1 h 12 min``, ``42 s``; empty when it is no number."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds <= 0:
        return ""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _code(value: object) -> str:
    return f"`{value}`" if isinstance(value, str) and value else ""


def _method(artifact: Artifact, recipe: dict[str, Any], adapter: dict[str, Any]) -> str:
    stage = {"sft": "supervised fine-tuning", "pt": "continued pre-training", "dpo": "DPO", "kto": "KTO", "ppo": "PPO"}
    parts = [stage.get(str(recipe.get("stage")), "")]
    kind = artifact.peft_type or adapter.get("peft_type") or str(recipe.get("finetuning_type", "")).upper()
    if kind == "LORA":
        rank, alpha = adapter.get("r", recipe.get("lora_rank")), adapter.get("lora_alpha", recipe.get("lora_alpha"))
        name = "DoRA" if adapter.get("use_dora") else "rsLoRA" if adapter.get("use_rslora") else "LoRA"
        sizes = [f"r = {rank}" if rank else "", f"alpha = {_number(alpha)}" if alpha else ""]
        parts.append(f"{name} ({', '.join(filter(None, sizes))})" if any(sizes) else name)
    elif kind == "FULL":
        parts.append("all weights")
    elif kind:
        parts.append(kind.replace("_", " ").lower())
    if recipe.get("quantization_bit"):
        parts.append(f"base in {recipe['quantization_bit']} bits")
    return ", ".join(part for part in parts if part)


def _learning_rate(recipe: dict[str, Any]) -> str:
    rate = recipe.get("learning_rate")
    schedule = recipe.get("lr_scheduler_type")
    text = f"{rate:g}" if isinstance(rate, int | float) else str(rate or "")
    return f"{text}, {schedule}" if text and isinstance(schedule, str) else text


def _batch(state: dict[str, Any], results: dict[str, Any], recipe: dict[str, Any]) -> str:
    """Batch size per device, accumulation, and the number of devices as samples and steps give it.

    devices = samples seen / (optimizer steps x batch per device x accumulation), samples = train_samples_per_second x
    train_runtime (both from the Trainer). The last, smaller batch of an epoch makes it a little less than whole.
    """
    each = state.get("train_batch_size") or recipe.get("per_device_train_batch_size")
    steps, many = state.get("global_step"), recipe.get("gradient_accumulation_steps")
    if not isinstance(each, int) or not isinstance(many, int):
        return ""
    text = f"{each} per device, {many} accumulation step{'s'[: many != 1]}"
    speed, seconds = results.get("train_samples_per_second"), results.get("train_runtime")
    if isinstance(speed, int | float) and isinstance(seconds, int | float) and isinstance(steps, int) and steps:
        devices = speed * seconds / (steps * each * many)
        if devices > 0.5 and abs(devices - round(devices)) < 0.25:
            many_devices = f"{round(devices)} device{'s' if round(devices) > 1 else ''}"
            return f"{round(devices) * each * many}: {text}, {many_devices}"
    return text


def _evaluations(state: dict[str, Any]) -> tuple[tuple[int, float, float], ...]:
    found = [
        (entry["step"], float(entry.get("epoch", 0)), float(entry["eval_loss"]))
        for entry in state.get("log_history", [])
        if isinstance(entry, dict) and isinstance(entry.get("eval_loss"), int | float) and "step" in entry
    ]
    every = -(-len(found) // _MOST_EVALUATIONS) or 1
    return tuple(found[::-1][::every][::-1])  # the last one is always shown


def _loss_of_the_last_weights(state: dict[str, Any], recipe: dict[str, Any]) -> float | None:
    """``eval_loss`` of the weights that were saved last: of the last step, or the best one when that was loaded."""
    if recipe.get("load_best_model_at_end") and isinstance(state.get("best_metric"), int | float):
        named = str(recipe.get("metric_for_best_model", "loss")).removeprefix("eval_")
        return float(state["best_metric"]) if named == "loss" else None
    for step, _, loss in reversed(_evaluations(state)):
        return loss if step == state.get("global_step") else None
    return None


def _versions(artifact: Artifact, facts: dict[str, Any]) -> dict[str, str]:
    """Versions of the training: from the card that the Trainer wrote, else from the configs that were saved."""
    card = artifact.training / "README.md"
    found: dict[str, str] = {}
    if card.is_file():
        text = card.read_text(encoding="utf-8", errors="replace")
        if TRAINER_MARK in text:
            names = "PEFT|Transformers|Pytorch|Datasets|Tokenizers"
            found = dict(re.findall(rf"^- ({names}) ([\w.+-]+)\s*$", text, re.MULTILINE))
            if "Pytorch" in found:
                found["PyTorch"] = found.pop("Pytorch")
    for name, stem, key in (
        ("PEFT", "adapter_config", "peft_version"),
        ("Transformers", "config", "transformers_version"),
    ):
        value = facts.get(stem, {}).get(key)
        if isinstance(value, str):
            found.setdefault(name, value)
    return dict(sorted(found.items()))


#: In every card that the Trainer writes, until somebody who has read it takes it out (``transformers.modelcard``).
TRAINER_MARK = "This model card has been generated automatically according to the information the Trainer had access to"
