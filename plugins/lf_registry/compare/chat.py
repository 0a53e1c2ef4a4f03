"""Prompts as tokens: through the chat template of a side, exactly as a server would write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UserError
from .prompts import Prompt
from .sides import Side

#: Stands for the first message while the text in front of it is looked for; a private-use character is in no template.
_MARK = "\ue011"
#: Control tokens, which are no words of a persona.
_CONTROL = re.compile(r"<\|[^|<>]+\|>|</?[A-Za-z_]\w*>|\[/?[A-Z_]{2,}\]")


@dataclass(frozen=True)
class Asked:
    """One prompt as one side gets it.

    Attributes:
        index: the prompt's number.
        ids: its tokens, up to where the answer begins.
        answer: the tokens of the reference with what ends it; empty without a reference.
    """

    index: int
    ids: list[int]
    answer: list[int]


def ask(side: Side, prompts: Sequence[Prompt]) -> list[Asked]:
    """Write all prompts with a side's chat template.

    Raises:
        UserError: lists the prompts that the chat template refuses, in its own words.
    """
    import jinja2

    asked: list[Asked] = []
    problems: list[str] = []
    for index, prompt in enumerate(prompts):
        try:
            text = _text(side, prompt)
            whole = _text(side, prompt, prompt.reference) if prompt.reference is not None else None
        except (jinja2.TemplateError, ValueError, TypeError, KeyError) as error:
            problems.append(f"{prompt.source}, row {prompt.row}: {str(error).splitlines()[0]}")
            continue
        ids = _ids(side, text)
        asked.append(Asked(index, ids, _answer(side, ids, text, whole, prompt.reference or "")))
    if problems:
        more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise UserError(
            [f"the chat template of {side.label} refuses {problem}" for problem in problems[:10]] + more,
            hint="correct these rows, or compare on other prompts",
        )
    return asked


def _text(side: Side, prompt: Prompt, answer: str | None = None) -> str:
    messages = list(prompt.messages)
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    return side.tokenizer.apply_chat_template(
        messages, tools=list(prompt.tools) or None, add_generation_prompt=answer is None, tokenize=False
    )


def _ids(side: Side, text: str) -> list[int]:
    return side.tokenizer(text, add_special_tokens=False)["input_ids"]


def _answer(side: Side, ids: list[int], text: str, whole: str | None, reference: str) -> list[int]:
    """The reference's tokens up to and with the token that ends it.

    They are what follows the prompt in the whole conversation. A template that writes an earlier question differently
    once it has been answered (reasoning templates do) has no such rest; then the reference is tokenized by itself.
    """
    if whole is None:
        return []
    tokens = _ids(side, whole)
    if whole.startswith(text) and tokens[: len(ids)] == ids:
        rest = tokens[len(ids) :]
    else:
        rest = _ids(side, reference)
        rest += [side.tokenizer.eos_token_id] if side.tokenizer.eos_token_id is not None else []
    special = {number for number, token in side.tokenizer.added_tokens_decoder.items() if token.special}
    ends = {side.tokenizer.eos_token_id, *side.stops} | special
    end = next((i for i, token in enumerate(rest) if token in ends), len(rest) - 1)
    return rest[: end + 1]


def personas(side: Side, prompts: Sequence[Prompt]) -> list[str]:
    """What a side reads in front of each conversation: the system message, its own or the template's, as plain text."""
    default = _in_front(side, [{"role": "user", "content": _MARK}])
    return [prompt.system or default for prompt in prompts]


def _in_front(side: Side, messages: list[dict[str, str]]) -> str:
    import jinja2

    try:
        text = side.tokenizer.apply_chat_template(messages, tokenize=False)
    except (jinja2.TemplateError, ValueError, TypeError, KeyError):
        return ""
    return _CONTROL.sub(" ", text.partition(_MARK)[0]).strip()
