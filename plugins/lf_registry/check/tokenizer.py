"""The tokenizer and the template of a recipe, and whether they fit each other and the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..hooks.pipeline import TEMPLATES, Arguments, Template
from ..safe_text import control_tokens
from .report import Finding, Report


@dataclass
class Tokens:
    """What is known about a recipe's tokens.

    Attributes:
        tokenizer: as it will be saved with the model; None when it cannot be reached.
        processor: of a model that sees or hears; None for the others.
        template: LLaMA-Factory's; None when it cannot be told.
        control: the texts of control tokens, which should not stand in a message.
        ours: whether the template is one of this registry.
        named: whether the recipe names a template; else LLaMA-Factory guesses one from the tokenizer's chat template.
    """

    tokenizer: Any
    processor: Any
    template: Template | None
    control: list[str]
    ours: bool
    named: bool = True

    @classmethod
    def load(cls, arguments: Arguments, report: Report) -> Tokens:
        """Load both; what is wrong, and what cannot be checked, goes into the report."""
        model = arguments.model.model_name_or_path
        try:
            tokenizer, processor = arguments.tokenizer()
        except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
            report.not_checked.append(_unreachable(model, error))
            template = TEMPLATES.get(arguments.data.template)
            return cls(None, None, template, _control(template, None), hasattr(template, "jinja"))
        size = len(tokenizer)
        try:
            template = arguments.fix(tokenizer)
        except ValueError as error:
            where = f"{report.recipe}: template"
            report.add([Finding("error", "template-refused", where, str(error), "lf-registry list templates")])
            return cls(None, None, None, [], ours=False)
        report.add(_new_tokens(arguments, tokenizer, template, size, report))
        named = arguments.data.template is not None
        return cls(tokenizer, processor, template, _control(template, tokenizer), hasattr(template, "jinja"), named)


def _unreachable(model: str, error: BaseException) -> str:
    """One sentence on why there is no tokenizer, with what to type."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and len(causes) < 20:
        causes.append(cause)
    kinds = {type(cause).__name__ for cause in causes}
    if "GatedRepoError" in kinds:
        why = "asks for its licence to be accepted; do that on its page on the Hub, then: hf auth login"
    elif "RepositoryNotFoundError" in kinds:
        why = "is not on the Hub, or is private and there is no token for it; check the name, or: hf auth login"
    elif kinds & {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectionError", "ConnectError"}:
        why = f"is not on this machine and the Hub cannot be reached; where there is a network: hf download {model}"
    else:
        first = next((line for line in str(causes[-1]).splitlines() if line.strip()), kinds.pop())
        why = f"cannot be loaded: {first.strip()}"
    return f"tokens, lengths, and whether training equals serving: the tokenizer of {model} {why}"


def _control(template: Template | None, tokenizer: Any) -> list[str]:
    tokens = list(getattr(template, "control", []))
    if template is not None and not tokens:
        slots = [template.format_prefix, template.format_system, template.format_user, template.format_assistant]
        tokens = control_tokens(slot for part in slots for slot in part.slots if isinstance(slot, str))
        tokens += template.stop_words
    if tokenizer is not None:
        tokens += [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return tokens


def _new_tokens(
    arguments: Arguments, tokenizer: Any, template: Template, size: int, report: Report
) -> Iterator[Finding]:
    """The template's stop tokens have to be in the vocabulary, and each token has to have a row in the embedding."""
    recipe, quantized = report.recipe, report.values.get("quantization_bit") is not None
    new = [tokenizer.convert_ids_to_tokens(i) for i in range(size, len(tokenizer))]
    if new and not arguments.model.resize_vocab:
        rows = _embedding_rows(arguments)
        if rows is None or len(tokenizer) > rows:
            yield Finding(
                "error",
                "new-tokens",
                f"{recipe}: template",
                f"the template {arguments.data.template!r} adds {', '.join(map(repr, new))} to the tokenizer, and the "
                "model has no embedding for it"
                + ("" if rows is None else f" ({len(tokenizer)} tokens, {rows} embeddings)"),
                "use the template that the model was trained with"
                # LLaMA-Factory cannot resize the embedding of quantized weights.
                + ("" if quantized else ", or set resize_vocab: true and additional_target: embed_tokens,lm_head"),
            )
        else:
            yield Finding(
                "warning",
                "untrained-tokens",
                f"{recipe}: template",
                f"the template {arguments.data.template!r} adds {', '.join(map(repr, new))} to the tokenizer; the "
                "model has spare embeddings for it, which nobody has trained",
                "use the template that the model was trained with, or train the embeddings too: "
                "additional_target: embed_tokens,lm_head",
            )
    missing = [token for token in _own_tokens(template) if tokenizer.convert_tokens_to_ids(token) is None]
    if missing:
        yield Finding(
            "error",
            "unknown-token",
            f"{recipe}: template",
            f"the template {arguments.data.template!r} needs {', '.join(map(repr, missing))}, which the tokenizer "
            "does not have: training stops at the first row",
            "use the template that the model was trained with: lf-registry list templates",
        )


def _own_tokens(template: Template) -> Iterator[str]:
    """The tokens that a template writes as tokens, not as text."""
    yield from template.stop_words
    for part in (template.format_prefix, template.format_system, template.format_user, template.format_assistant):
        for slot in part.slots:
            if isinstance(slot, dict):
                yield slot["token"]


def _embedding_rows(arguments: Arguments) -> int | None:
    from transformers import AutoConfig

    model = arguments.model
    try:
        config = AutoConfig.from_pretrained(
            model.model_name_or_path, revision=model.model_revision, cache_dir=model.cache_dir
        )
    except (OSError, ValueError, KeyError):
        return None
    return getattr(config.get_text_config(), "vocab_size", None)
