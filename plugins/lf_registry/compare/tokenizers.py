"""How both sides are asked: their tokenizers, and the chat templates that their prompts are written with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..files import is_file
from ..merge.quiet import quiet

if TYPE_CHECKING:
    from .sides import Side


def load_tokenizer(folders: Sequence[Path], trust: bool) -> Any:
    """The tokenizer of the first folder that has one.

    Raises:
        UserError: none has one, or it cannot be loaded.
    """
    folder = next((folder for folder in folders if is_file(folder / "tokenizer_config.json")), None)
    if folder is None:
        raise UserError(f"{folders[0]}: has no tokenizer (tokenizer_config.json)", hint="save it with the model")
    with quiet():
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
        except (OSError, ValueError, ImportError, KeyError) as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(f"{folder}: its tokenizer cannot be loaded: {first}") from None


def give_templates(
    before: Side, after: Side, template: str | None, settings: dict[str, Any], same: bool, notes: list[str]
) -> None:
    """Give both sides their chat template.

    Args:
        before, after: the sides; their tokenizers are changed.
        template: LLaMA-Factory's name of one, for a model that has none saved.
        settings: further keys of the recipe for it.
        same: ask the base with the tuned model's.
        notes: gets what the user should know.

    Raises:
        UserError: the tuned model has none.
    """
    for side in (before, after):
        if side.tokenizer.chat_template:
            side.template = "saved with it"
        elif template is not None:
            side.stops = _apply(side, template, settings)
            side.template = f"none saved; {template}"
    if template is not None and not (before.stops or after.stops):
        notes.append(f"--template {template} is not used: both models have a chat template saved with them")
    if not after.tokenizer.chat_template:
        raise UserError(
            no_template(after),
            hint="--template NAME (the recipe's), or --recipe RECIPE",
        )
    if same or not before.tokenizer.chat_template:
        why = "asked with the tuned model's" if same else "none saved; the tuned model's"
        before.template = why
        before.tokenizer.chat_template = after.tokenizer.chat_template
        before.stops = [*after.stops, *_end_of_answer(before.tokenizer)]
        if not same:
            notes.append(f"{before.label} has no chat template saved with it: it is asked with the tuned model's")


def no_template(side: Side) -> str:
    """That a side has no chat template, as a sentence."""
    return f"{side.label}: has no chat template saved with it, so nobody knows how to ask it"


def give_pad(side: Side) -> None:
    """Give a tokenizer without a padding token one; it is masked, so any does."""
    if side.tokenizer.pad_token_id is None:
        side.tokenizer.pad_token = side.tokenizer.eos_token or side.tokenizer.convert_ids_to_tokens(0)


def _apply(side: Side, template: str, settings: dict[str, Any]) -> list[int]:
    """Give a tokenizer LLaMA-Factory's template, as a training with it does; returns the ids that end an answer."""
    with quiet():
        from ..hooks.export_template import apply_template

        try:
            return apply_template(side.tokenizer, template, settings)[1]
        except ValueError as error:
            raise UserError(f"--template {template}: cannot be applied to {side.label}: {error}") from None


def _end_of_answer(tokenizer: Any) -> list[int]:
    """The special token with which a chat template ends an answer: none, when it is no token of this tokenizer's."""
    mark = "\ue010"
    messages = [{"role": "user", "content": "1"}, {"role": "assistant", "content": mark}]
    tail = tokenizer.apply_chat_template(messages, tokenize=False).rpartition(mark)[2]
    ids = tokenizer.encode(tail, add_special_tokens=False)
    return [ids[0]] if ids and ids[0] in tokenizer.added_tokens_decoder else []
