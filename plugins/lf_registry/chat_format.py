"""The text around every message of a conversation, independent of any library.

A LLaMA-Factory formatter is a list of slots (text with ``{{content}}``, ``{"bos_token"}``, ``{"eos_token"}``,
``{"token": "..."}``). Here the slots become plain parts, from which ``jinja.py`` and ``modelfile.py`` write the same
conversation for other programs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Slots = list[str | set[str] | dict[str, str]]

CONTENT = "{{content}}"
#: Stand-ins, inside a part's text, for the tokenizer's own tokens (private-use characters: never in real text).
BOS, EOS = "\ue000", "\ue001"


class UnsupportedFormat(Exception):
    """The slots cannot be written as a chat template with equal token ids; the message says why."""


@dataclass(frozen=True)
class Part:
    """The text before and after one message's content."""

    head: str
    tail: str

    @classmethod
    def from_slots(cls, slots: Slots, what: str) -> Part:
        """Join slots to text and split it at the content.

        Raises:
            UnsupportedFormat: when there is not exactly one ``{{content}}``, or a slot of unknown kind.
        """
        text = text_of(slots, what)
        if text.count(CONTENT) != 1 or "{{idx}}" in text:
            raise UnsupportedFormat(f"its {what} format is not one piece of text around the content")
        head, tail = text.split(CONTENT)
        return cls(head, tail)


def text_of(slots: Slots, what: str) -> str:
    """The slots as one text, with ``BOS`` and ``EOS`` standing for the tokenizer's tokens."""
    text = ""
    for slot in slots:
        if isinstance(slot, str):
            text += slot
        elif slot == {"bos_token"}:
            text += BOS
        elif slot == {"eos_token"}:
            text += EOS
        elif isinstance(slot, dict) and set(slot) == {"token"}:
            text += slot["token"]
        else:
            raise UnsupportedFormat(f"its {what} format has the unknown slot {slot!r}")
    return text


@dataclass(frozen=True)
class ChatFormat:
    """One way of writing a conversation down.

    Attributes:
        prefix: before everything (usually empty or the BOS token).
        system, user, assistant, observation, function: the text around each kind of message. The user's tail ends
            where the assistant's header begins; None where the format has no such message.
        generation_prompt: the assistant's header, which follows every user and observation message.
        default_system: the system text of conversations that bring none.
        tool_format: the name of LLaMA-Factory's tool format, where ``jinja.py`` knows it.
        stop_words: tokens that end an answer, besides the tokenizer's EOS.
        replace_eos: whether the first stop word becomes the tokenizer's EOS.
        query: what a user message's first newline becomes; empty where it stays a newline.
    """

    prefix: str
    system: Part
    user: Part
    assistant: Part
    generation_prompt: str
    observation: Part | None = None
    function: Part | None = None
    default_system: str = ""
    tool_format: str | None = None
    stop_words: list[str] = field(default_factory=list)
    replace_eos: bool = False
    query: str = ""


def split_generation_prompt(tail: str, assistant_tail: str) -> tuple[str, str]:
    r"""Split the text after a user's content into what ends the turn and the assistant's header.

    A turn ends the way an answer ends (``<|eot_id|>``), when the tail starts so; otherwise with its line breaks:

    >>> split_generation_prompt("<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n")
    ('<|im_end|>\n', '<|im_start|>assistant\n')
    >>> split_generation_prompt("\n<|answer|>\n", EOS)
    ('\n', '<|answer|>\n')
    """
    if assistant_tail and tail.startswith(assistant_tail):
        end = len(assistant_tail)
    else:
        end = len(tail) - len(tail.lstrip("\n"))
    return tail[:end], tail[end:]


def chat_format(
    *,
    prefix: Slots,
    system: Slots,
    user: Slots,
    assistant: Slots,
    observation: Slots | None = None,
    function: Slots | None = None,
    default_system: str = "",
    tool_format: str | None = None,
    stop_words: Iterable[str] = (),
    replace_eos: bool = False,
    query: str = "",
) -> ChatFormat:
    """Build a ``ChatFormat`` from LLaMA-Factory's slots.

    Tool results keep their format only when it is their own (LLaMA-Factory gives them the user's where there is none),
    and the assistant's header after them is the same as after a user.

    Raises:
        UnsupportedFormat: when a message's format is not one piece of text around its content.
    """
    answer = Part.from_slots(assistant, "assistant")
    question = Part.from_slots(user, "user")
    close, generation_prompt = split_generation_prompt(question.tail, answer.tail)
    tool_result = Part.from_slots(observation, "observation") if observation and observation != user else None
    if tool_result is not None:
        if tool_result.tail.endswith(generation_prompt):
            tail = tool_result.tail
            tool_result = Part(tool_result.head, tail[: len(tail) - len(generation_prompt)])
        else:
            tool_result = None
    return ChatFormat(
        prefix=text_of(prefix, "prefix"),
        system=Part.from_slots(system, "system"),
        user=Part(question.head, close),
        assistant=answer,
        generation_prompt=generation_prompt,
        observation=tool_result,
        function=Part.from_slots(function, "function") if function and tool_result else None,
        default_system=default_system,
        tool_format=tool_format,
        stop_words=list(stop_words),
        replace_eos=replace_eos,
        query=query,
    )
