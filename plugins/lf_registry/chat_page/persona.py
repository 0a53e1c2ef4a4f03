"""The persona that a chat template brings along: find it, and make the template without it."""

from __future__ import annotations

from typing import Any

from ..jinja import literal

_MARK, _QUESTION = "SYSTEM-MARK", "QUESTION-MARK"


def default_system(tokenizer: Any) -> str:
    """The system text that the chat template puts in front of a conversation that has none; "" for none.

    Found by rendering the template with a system message and without one, so it works for every template.
    """
    question = {"role": "user", "content": _QUESTION}
    try:
        marked = _render(tokenizer, [{"role": "system", "content": _MARK}, question])
    except Exception:  # whatever a template raises: it has no place for a system message
        return ""
    plain = _render(tokenizer, [question])
    before, found, after = marked.partition(_MARK)
    if not found or not plain.startswith(before) or not plain.endswith(after):
        return ""
    return plain[len(before) : len(plain) - len(after)]


def template_without(tokenizer: Any, persona: str) -> str | None:
    """The chat template's source with the persona taken out; None when it does not stand in it as one text."""
    source = tokenizer.chat_template
    for text in (literal(persona)[1:-1], persona):
        changed = source.replace(text, "")
        if changed != source:
            return changed
    return None


def _render(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
