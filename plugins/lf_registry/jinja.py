"""Write a ``ChatFormat`` as the Jinja chat template that is saved with the model.

Plain enough for every program that reads chat templates (Transformers, vLLM, TGI, llama.cpp): expressions, ``if``,
``for``, ``set``, and the filters ``trim``, ``replace`` and ``tojson``. All white space control is explicit, so the
result does not depend on the environment's ``trim_blocks``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .chat_format import BOS, EOS, ChatFormat
from .safe_text import defuse
from .tool_jinja import DEFUSED, TOOL_CALLS, TOOL_DEFINITIONS

#: A message that only calls tools may have no content at all.
MESSAGE_CONTENT = "(message['content'] or '')"


def literal(text: str) -> str:
    """A Jinja string literal that means exactly ``text``: quotes, backslashes and newlines are escaped."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + "'"


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
    writer = _Writer(chat, control, bos, eos, masks)
    lines = [writer.put(chat.prefix), *writer.find_system(), *writer.system(), "{%- for message in loop_messages -%}"]
    lines += [f"{{%- set content = {writer.cleaned(MESSAGE_CONTENT)} -%}}", *writer.message(), "{%- endfor -%}"]
    lines += ["{%- if add_generation_prompt -%}", writer.put(chat.generation_prompt), "{%- endif -%}"]
    return "\n".join(line for line in lines if line)


@dataclass
class _Writer:
    """Writes the parts of one chat template, each as lines of Jinja."""

    chat: ChatFormat
    control: list[str]
    bos: str | None
    eos: str | None
    masks: bool

    def __post_init__(self) -> None:
        self.defused = "".join(f" | replace({literal(token)}, {literal(defuse(token))})" for token in self.control)
        known = self.chat.tool_format if self.chat.function else None
        self.definitions = [line.replace(DEFUSED, self.defused) for line in TOOL_DEFINITIONS.get(known or "", [])]
        self.calls = [line.replace(DEFUSED, self.defused) for line in TOOL_CALLS.get(known or "", [])]

    def text(self, value: str) -> str:
        """A part's text as an expression; a token that is not known stays ``bos_token`` or ``eos_token``."""
        if self.bos is not None:
            value = value.replace(BOS, self.bos)
        if self.eos is not None:
            value = value.replace(EOS, self.eos)
        pieces = re.split(f"([{BOS}{EOS}])", value)
        return " + ".join({BOS: "bos_token", EOS: "eos_token"}.get(piece, literal(piece)) for piece in pieces if piece)

    def put(self, before: str, variable: str = "", after: str = "") -> str:
        """Print text, a variable, text; nothing when all are empty."""
        parts = [part for part in (self.text(before), variable, self.text(after)) if part]
        return "{{- " + " + ".join(parts) + " -}}" if parts else ""

    def cleaned(self, value: str) -> str:
        """``safe_text.clean`` of a value."""
        return f"{value} | trim{self.defused}"

    def answer(self, *lines: str) -> list[str]:
        """The assistant's header, then what is trained on."""
        marks = ("{%- generation -%}", "{%- endgeneration -%}") if self.masks else ("", "")
        return [self.put(self.chat.generation_prompt), marks[0], *lines, marks[1]]

    def find_system(self) -> list[str]:
        """Take a system message that says something from the conversation, else the default."""
        return [
            "{%- for message in messages -%}",
            "{%- if message['content'] is defined and message['content'] is not string and message['content'] -%}",
            "{{- raise_exception('the content of a message must be text') -}}",
            "{%- endif -%}",
            "{%- endfor -%}",
            f"{{%- set system_message = {literal(self.chat.default_system)} -%}}",
            "{%- set loop_messages = messages -%}",
            "{%- if messages and messages[0]['role'] == 'system' -%}",
            "{%- set loop_messages = messages[1:] -%}",
            "{%- if messages[0]['content'] and messages[0]['content'] | trim -%}",
            "{%- set system_message = messages[0]['content'] -%}",
            "{%- endif -%}",
            "{%- endif -%}",
            f"{{%- set system_message = {self.cleaned('system_message')} -%}}",
        ]

    def system(self) -> list[str]:
        """The system text, with the tools behind it where the format has tools."""
        head, tail = self.chat.system.head, self.chat.system.tail
        if not self.definitions:
            refuse = "{%- if tools -%}{{- raise_exception('this chat template does not support tools') -}}{%- endif -%}"
            return [refuse, "{%- if system_message -%}", self.put(head, "system_message", tail), "{%- endif -%}"]
        opened = ["{%- if system_message or tools -%}", self.put(head, "system_message"), "{%- if tools -%}"]
        return [*opened, *self.definitions, "{%- endif -%}", self.put(tail), "{%- endif -%}"]

    def two_parts(self) -> list[str]:
        """Write the format's text where a user's message has its first newline; with nothing but split and join."""
        if not self.chat.query:
            return []
        return [
            "{%- set lines = content.split('\\n') -%}",
            "{%- if lines | length > 1 -%}",
            f"{{%- set content = lines[0] + {literal(self.chat.query)} + (lines[1:] | join('\\n')) -%}}",
            "{%- endif -%}",
        ]

    def message(self) -> list[str]:
        """One message by its role; a role or a tool call without a place is an error instead of being dropped."""
        chat = self.chat
        lines = ["{%- if message['role'] == 'user' -%}", *self.two_parts()]
        lines += [self.put(chat.user.head, "content", chat.user.tail)]
        lines += ["{%- elif message['role'] == 'assistant' and message['tool_calls'] -%}"]
        if self.calls and chat.function:
            lines += self.answer(self.put(chat.function.head), *self.calls, self.put(chat.function.tail))
        else:
            lines += ["{{- raise_exception('this chat template does not support tool calls') -}}"]
        lines += ["{%- elif message['role'] == 'assistant' -%}"]
        lines += self.answer(self.put(chat.assistant.head, "content", chat.assistant.tail))
        if self.calls and chat.observation:
            lines += ["{%- elif message['role'] in ['tool', 'ipython', 'observation'] -%}"]
            lines += [self.put(chat.observation.head, "content", chat.observation.tail)]
        refuse = "{{- raise_exception('this chat template has no place for the role ' + message['role']) -}}"
        return [*lines, "{%- else -%}", refuse, "{%- endif -%}"]
