"""Write a ``ChatFormat`` as the Jinja chat template that is saved with the model.

Plain enough for every program that reads chat templates (Transformers, vLLM, TGI, llama.cpp): expressions, ``if``,
``for``, ``set``, and the filters ``trim``, ``replace`` and ``tojson``. All white space control is explicit, so the
result does not depend on the environment's ``trim_blocks``.
"""

from __future__ import annotations

import re

from .chat_format import BOS, EOS, ChatFormat
from .safe_text import defuse
from .tool_jinja import DEFUSED, TOOL_CALLS, TOOL_DEFINITIONS

#: A message that only calls tools may have no content at all.
MESSAGE_CONTENT = "(message['content'] or '')"


def literal(text: str) -> str:
    """A Jinja string literal that means exactly ``text``: quotes, backslashes and newlines are escaped."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + "'"


def _expression(text: str, bos: str | None, eos: str | None) -> str:
    """An expression for a part's text; a token that is not known stays the variable ``bos_token`` or ``eos_token``."""
    if bos is not None:
        text = text.replace(BOS, bos)
    if eos is not None:
        text = text.replace(EOS, eos)
    pieces = re.split(f"([{BOS}{EOS}])", text)
    return " + ".join({BOS: "bos_token", EOS: "eos_token"}.get(piece, literal(piece)) for piece in pieces if piece)


def chat_template(
    chat: ChatFormat, control: list[str], *, bos: str | None = None, eos: str | None = None, masks: bool = False
) -> str:
    """The Jinja source.

    Args:
        chat: the format.
        control: the control tokens to defuse inside messages (``safe_text.control_tokens``).
        bos, eos: the tokenizer's tokens as text ("" for none), or None to leave them to the variables ``bos_token`` and
            ``eos_token``.
        masks: add Transformers' ``{% generation %}`` markers around what is trained on, for
            ``apply_chat_template(..., return_assistant_tokens_mask=True)``. Other programs do not know them.
    """

    def put(*texts: str) -> str:
        parts = [part for part in texts if part]
        return "{{- " + " + ".join(parts) + " -}}" if parts else ""

    def text(value: str) -> str:
        return _expression(value, bos, eos)

    defused = "".join(f" | replace({literal(token)}, {literal(defuse(token))})" for token in control)

    def snippet(lines: list[str] | None) -> list[str] | None:
        return lines and [line.replace(DEFUSED, defused) for line in lines]

    def cleaned(value: str) -> str:
        return f"{value} | trim{defused}"

    answer_open, answer_close = ("{%- generation -%}", "{%- endgeneration -%}") if masks else ("", "")
    tools = snippet(TOOL_DEFINITIONS.get(chat.tool_format or "")) if chat.function else None
    calls = snippet(TOOL_CALLS.get(chat.tool_format or "")) if chat.function else None
    lines = [
        put(text(chat.prefix)),
        f"{{%- set system_message = {literal(chat.default_system)} -%}}",
        "{%- set loop_messages = messages -%}",
        "{%- if messages and messages[0]['role'] == 'system' -%}",
        "{%- set loop_messages = messages[1:] -%}",
        "{%- if messages[0]['content'] and messages[0]['content'] | trim -%}",
        "{%- set system_message = messages[0]['content'] -%}",
        "{%- endif -%}",
        "{%- endif -%}",
        f"{{%- set system_message = {cleaned('system_message')} -%}}",
    ]
    if tools:
        lines += ["{%- if system_message or tools -%}", put(text(chat.system.head), "system_message")]
        lines += ["{%- if tools -%}", *tools, "{%- endif -%}", put(text(chat.system.tail)), "{%- endif -%}"]
    else:
        lines += ["{%- if tools -%}"]
        lines += ["{{- raise_exception('this chat template does not support tools') -}}", "{%- endif -%}"]
        lines += ["{%- if system_message -%}"]
        lines += [put(text(chat.system.head), "system_message", text(chat.system.tail)), "{%- endif -%}"]
    lines += [
        "{%- for message in loop_messages -%}",
        f"{{%- set content = {cleaned(MESSAGE_CONTENT)} -%}}",
        "{%- if message['role'] == 'user' -%}",
        put(text(chat.user.head), "content", text(chat.user.tail)),
    ]
    if calls and chat.function:
        lines += ["{%- elif message['role'] == 'assistant' and message['tool_calls'] -%}"]
        lines += [put(text(chat.generation_prompt)), answer_open, put(text(chat.function.head)), *calls]
        lines += [put(text(chat.function.tail)), answer_close]
    lines += ["{%- elif message['role'] == 'assistant' -%}", put(text(chat.generation_prompt)), answer_open]
    lines += [put(text(chat.assistant.head), "content", text(chat.assistant.tail)), answer_close]
    if chat.observation and calls:
        lines += ["{%- elif message['role'] in ['tool', 'ipython', 'observation'] -%}"]
        lines += [put(text(chat.observation.head), "content", text(chat.observation.tail))]
    lines += [
        "{%- else -%}",
        "{{- raise_exception('this chat template has no place for the role ' + message['role']) -}}",
        "{%- endif -%}",
        "{%- endfor -%}",
        "{%- if add_generation_prompt -%}",
        put(text(chat.generation_prompt)),
        "{%- endif -%}",
    ]
    return "\n".join(line for line in lines if line)
