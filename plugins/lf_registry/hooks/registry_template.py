"""A LLaMA-Factory ``Template`` whose training ids equal those of the chat template saved with the model.

LLaMA-Factory tokenizes every slot of a message on its own and pastes texts into each other; the classes here change
only that: neighbouring texts are tokenized together, messages are cleaned (``safe_text``), and the Jinja template and
the Modelfile come from the same ``ChatFormat``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from llamafactory.data import formatter as lf_formatter
from llamafactory.data.data_utils import Role
from llamafactory.data.template import Template
from typing_extensions import override

from ..chat_format import ChatFormat, UnsupportedFormat, chat_format
from ..errors import UserError
from ..jinja import chat_template
from ..modelfile import modelfile
from ..safe_text import clean, control_tokens
from ..templates import RegisteredTemplate
from .own_format import own_format
from .space_in_front import behind_text, puts_a_space_in_front
from .templates import register


@dataclass
class ContentFormatter(lf_formatter.StringFormatter):
    """Fills in ``{{content}}`` only: the stock formatter also replaces ``{{idx}}`` inside what the user wrote.

    Attributes:
        query: what the first newline of a message becomes (``TemplateSpec.query``); empty when it stays one.
    """

    query: str = ""

    @override
    def apply(self, **kwargs: Any) -> list[Any]:
        content = kwargs["content"]
        return super().apply(content=content.replace("\n", self.query, 1) if self.query else content)


@dataclass
class RegistryTemplate(Template):
    """The class of all our templates."""

    #: The control tokens of the format itself; the tokenizer's own are added when there is a tokenizer.
    control: list[str] = field(default_factory=list)
    #: Part of what the `datasets` library hashes for its cache: raise it when the same conversation gets other ids, or
    #: a training would silently use the ids that an older version has left in the cache.
    revision: int = 2

    def chat_format(self) -> ChatFormat:
        """This template for ``jinja.py`` and ``modelfile.py``, with the persona that is set now."""
        return _format_of(self, self.default_system)

    def jinja(self, tokenizer: Any = None, *, masks: bool = False) -> str:
        """The Jinja chat template (see ``jinja.chat_template``); without a tokenizer its tokens stay variables."""
        if tokenizer is None:
            return chat_template(self.chat_format(), self.control, masks=masks)
        bos, eos = tokenizer.bos_token or "", tokenizer.eos_token or ""
        return chat_template(self.chat_format(), self._control(tokenizer), bos=bos, eos=eos, masks=masks)

    def _control(self, tokenizer: Any) -> list[str]:
        own = (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token)
        return sorted({*self.control, *(token for token in own if token)}, key=lambda token: (-len(token), token))

    @override
    def _encode(
        self, tokenizer: Any, messages: list[dict[str, str]], system: str | None, tools: str | None
    ) -> list[list[int]]:
        control = self._control(tokenizer)
        messages = [{**message, "content": clean(message["content"], control)} for message in messages]
        system = clean(system or "", control) or clean(self.default_system, control)
        encoded = super()._encode(tokenizer, messages, system, clean(tools, control) if tools else tools)
        if puts_a_space_in_front(tokenizer):
            for i, message in enumerate(messages):
                if message["role"] == Role.ASSISTANT and i and self._follows_text(tokenizer, encoded[i - 1]):
                    first, *rest = self.format_assistant.apply(content=message["content"])
                    encoded[i] = behind_text(tokenizer, first) + self._convert_elements_to_ids(tokenizer, rest)
        return encoded

    @staticmethod
    def _follows_text(tokenizer: Any, before: list[int]) -> bool:
        return bool(before) and before[-1] not in tokenizer.all_special_ids

    @override
    def _convert_elements_to_ids(self, tokenizer: Any, elements: list[Any]) -> list[int]:
        joined: list[Any] = []
        for element in elements:
            if element == {"bos_token"} and tokenizer.bos_token_id is None:
                continue
            if isinstance(element, str) and joined and isinstance(joined[-1], str):
                joined[-1] += element
            else:
                joined.append(element)
        return super()._convert_elements_to_ids(tokenizer, joined)

    @override
    def _get_jinja_template(self, tokenizer: Any) -> str:
        return self.jinja(tokenizer)

    @override
    def get_ollama_modelfile(self, tokenizer: Any) -> str:
        return modelfile(self.chat_format(), eos=tokenizer.eos_token)


def _format_of(template: Template, default_system: str) -> ChatFormat:
    function = template.format_function
    return chat_format(
        prefix=template.format_prefix.slots,
        system=template.format_system.slots,
        user=template.format_user.slots,
        assistant=template.format_assistant.slots,
        observation=template.format_observation.slots,
        function=function.slots,
        default_system=default_system,
        tool_format=function.tool_format,
        stop_words=template.stop_words,
        replace_eos=template.replace_eos,
        query=getattr(template.format_user, "query", ""),
    )


def build(template: RegisteredTemplate, builtin: Mapping[str, Template]) -> RegistryTemplate:
    """Make the LLaMA-Factory template of one template file.

    Raises:
        UserError: when the extended template builds its prompt in a way that no chat template can repeat.
    """
    if template.own_format is not None:
        source = own_format(template.own_format)
    else:
        assert template.builtin is not None
        source = builtin[template.builtin]
        reason = _cannot_extend(source)
        if reason:
            usable = [name for name in sorted(builtin) if not _cannot_extend(builtin[name])]
            raise UserError(
                f"{template.path}: extends: {template.builtin!r} cannot be extended, because {reason}; "
                f"these can: {', '.join(usable)}"
            )
    values = {item.name: getattr(source, item.name) for item in fields(Template)}
    values["default_system"] = template.default_system
    values["stop_words"] = list(source.stop_words)
    values["replace_jinja_template"] = True  # otherwise the persona is lost in vLLM, Transformers and Ollama
    query = template.own_format.query if template.own_format is not None else ""
    values["format_user"] = ContentFormatter(slots=source.format_user.slots, query=query)
    chat = _format_of(source, "")
    texts = [chat.prefix, chat.generation_prompt, query, *chat.stop_words]
    texts += [
        text
        for part in (chat.system, chat.user, chat.assistant, chat.observation)
        if part
        for text in (part.head, part.tail)
    ]
    return RegistryTemplate(**values, control=control_tokens(texts))


def _cannot_extend(template: Template) -> str | None:
    """Why a stock template cannot be extended, or None when it can."""
    if type(template) is not Template:
        return f"it changes messages in code ({type(template).__name__})"
    if type(template.mm_plugin).__name__ != "BasePlugin":
        return "it puts images, sound or video into the prompt"
    if template.efficient_eos:
        return "it does not end its answers itself (efficient_eos)"
    try:
        _format_of(template, "")
    except UnsupportedFormat as error:
        return str(error)
    return None


# The last act of this module, and not of the hook that imports it: when this module comes first (unpickling a template
# in a fresh process does that), the hook runs in the middle of it and finds it half-made.
register(sys.modules[Template.__module__])
