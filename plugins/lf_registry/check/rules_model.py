"""What fits the model: its chat format, its longest input, and the rate at which it learns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import UserError
from ..models import load_models
from ..peft_methods.settings import learns_prompt, method_of
from ..recipes import Recipe
from ..templates import builtin_template_names, load_templates
from .facts import get, is_on, method, model_config, number, stage, text, warning
from .report import Finding

Values = dict[str, Any]


def cut(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """The length at which examples are cut."""
    length = number(values, "cutoff_len")
    longest = model_config(values).get("max_position_embeddings")
    if length is None or "cutoff_len" not in values:
        return
    if 1 <= length < 32:
        yield warning(
            recipe,
            "cutoff",
            "cutoff_len",
            f"{length} tokens hold hardly more than the chat format itself; answers are cut away",
            "start with `cutoff_len: 2048`",
        )
    elif isinstance(longest, int) and length > longest and not get(values, "rope_scaling"):
        yield warning(
            recipe,
            "cutoff",
            "cutoff_len",
            f"the model was made for {longest} tokens (max_position_embeddings), and is trained on up to {length}",
            f"set `cutoff_len: {longest}`, or add `rope_scaling:`",
        )


def template(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """A chat template, and the one that the model was trained with."""
    name = text(values, "template")
    if name is not None and _is_for_a_task(name):
        return
    if name is None:
        if stage(values) != "pt" and not get(values, "tokenized_path"):
            yield warning(
                recipe,
                "no-template",
                "template",
                "LLaMA-Factory guesses it from the tokenizer, and takes an empty one when that has none",
                "add `template:`; lf-registry list templates",
            )
        return
    model = next((model for model in load_models().values() if model.path == get(values, "model_name_or_path")), None)
    if model is None:
        return
    ours, known = _format(name), _format(model.template)
    instruct = {_format(other.template) for other in load_models().values() if "instruct" in other.path.lower()}
    is_base = known not in instruct
    if ours is not None and ours != known and (not is_base or ours in instruct):
        why = "is a base model, to which chat tokens mean nothing yet" if is_base else f"was trained with {known}"
        yield warning(
            recipe,
            "other-template",
            "template",
            f"{model.path} {why}; with the format of {ours} it has to learn the format as well",
            f"use `template: {model.template}`, or a persona that extends it",
        )


def _is_for_a_task(name: str) -> bool:
    """Whether a template is for questions on a passage: nobody takes it for the model's chat format by mistake."""
    try:
        found = load_templates().get(name)
    except UserError:
        return False
    return found is not None and found.own_format is not None and bool(found.own_format.query)


def _format(name: str) -> str | None:
    """The format at the end of a template's ``extends``; None for a template that does not exist or is broken."""
    if name in builtin_template_names():
        return name
    try:
        found = load_templates().get(name)
    except UserError:
        return None
    return found and (found.builtin or (found.own_format.name if found.own_format else name))


def learning_rate(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """A learning rate that is far from what the method is trained with."""
    rate = number(values, "learning_rate")
    if "learning_rate" not in values or rate is None or rate <= 0 or not is_on(values, "do_train"):
        return
    adapter = method(values) in ("lora", "oft")
    high, usual, trained = *((1e-2, "1.0e-4") if adapter else (1e-3, "1.0e-5")), f"finetuning_type: {method(values)}"
    peft = values.get("peft")
    if peft is not None and adapter and (name := method_of(peft)) not in (None, "lora", "adalora"):
        # Few numbers, which start small or random, move faster: prompts are trained with up to 0.3, IA3 with 3e-3.
        high, usual, trained = (0.5, "1.0e-2", name) if learns_prompt(peft) else (0.1, "1.0e-3", name)
    if rate > high:
        yield warning(
            recipe,
            "learning-rate",
            "learning_rate",
            f"{rate:g} is far above what `{trained}` is trained with; the loss may diverge",
            f"start with `learning_rate: {usual}`",
        )
    elif rate < 1e-7:
        yield warning(
            recipe,
            "learning-rate",
            "learning_rate",
            f"at {rate:g} the weights hardly move at all",
            f"start with `learning_rate: {usual}`",
        )


RULES = (cut, template, learning_rate)
