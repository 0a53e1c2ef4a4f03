"""The schema of one file in ``templates/``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .chat_format import CONTENT, ChatFormat, Slots, chat_format
from .errors import did_you_mean
from .safe_text import control_tokens

#: Names of templates, data sets and recipes: safe in a path, and text in YAML (unlike 007, 1e3 or null).
NAME = re.compile(r"(?!(?i:null|true|false|yes|no|on|off|nan|inf)$)[A-Za-z][A-Za-z0-9._-]*")
NAME_RULE = "must begin with a letter, go on with letters, digits, '.', '_' and '-', and not be a word like null or yes"
_OWN_FORMAT = ("prefix", "system", "user", "query", "assistant", "bos", "eos", "stop_words", "replace_eos")


@dataclass(frozen=True)
class TemplateSpec:
    """A chat template: a format of its own (``user``, ``assistant``, ...), or a persona on another (``extends``).

    Attributes:
        name: the name used as ``template:`` in a recipe; equal to the file's name without ``.yaml``.
        description: one line for ``lf-registry list templates``.
        extends: the name of a LLaMA-Factory template or of another file here.
        default_system: the system text of conversations that bring none (the persona).
        default_system_of: the name of another file here whose persona is meant, so that a text stands in one file only.
        prefix: text before the whole conversation.
        system, user, assistant: the text around a message, with ``{{content}}`` where the message goes; ``user`` ends
            where the model begins to write.
        query: the text between the two parts of a user's message (a question and its passage), in place of its first
            newline: LLaMA-Factory joins a dataset's columns ``prompt`` and ``query`` with one. Empty: they stay joined.
        bos: start with the tokenizer's BOS token.
        eos: end every answer with the tokenizer's EOS token (it is trained on).
        stop_words: further tokens that end an answer.
        replace_eos: make the first stop word the tokenizer's EOS token.
    """

    name: str
    description: str = ""
    extends: str | None = None
    default_system: str = ""
    default_system_of: str | None = None
    prefix: str = ""
    system: str | None = None
    user: str | None = None
    query: str = ""
    assistant: str | None = None
    bos: bool = False
    eos: bool = False
    stop_words: list[str] = field(default_factory=list)
    replace_eos: bool = False

    @property
    def persona(self) -> str:
        """``default_system`` without the newline that a YAML block scalar ends with."""
        return self.default_system.strip()

    def slots(self, key: str) -> Slots:
        """The slots of ``prefix``, ``system``, ``user`` or ``assistant`` in LLaMA-Factory's notation."""
        text = getattr(self, key) or CONTENT
        if key == "prefix":
            return ([{"bos_token"}] if self.bos else []) + ([self.prefix] if self.prefix else [])
        return [text, {"eos_token"}] if key == "assistant" and self.eos else [text]

    def own_format(self) -> ChatFormat:
        """The format of a template without ``extends``."""
        return chat_format(
            **{key: self.slots(key) for key in ("prefix", "system", "user", "assistant")},
            query=self.query,
            default_system=self.persona,
            stop_words=self.stop_words,
            replace_eos=self.replace_eos,
        )


KEYS = tuple(item.name for item in fields(TemplateSpec))


def parse(values: dict[str, Any], path: Path) -> tuple[TemplateSpec | None, list[str]]:
    """Check one template file's values.

    Written by hand, because importing pydantic alone would take longer than all of the plugin may at LLaMA-Factory's
    import.

    Returns:
        The spec (None when there are problems) and all problems, each as ``file: key: what and how to mend it``.
    """
    problems = [f"{path}: {problem}" for key, value in values.items() if (problem := _value_problem(key, value))]
    if "name" not in values:
        problems.insert(0, f"{path}: name: is missing; for this file write `name: {path.stem}`")
    if problems:
        return None, problems
    spec = TemplateSpec(**values)
    problems = [f"{path}: {problem}" for problem in _rules(spec, values, path)]
    return (None if problems else spec), problems


def _value_problem(key: str, value: Any) -> str | None:
    """What is wrong with one key's value by itself."""
    if key not in KEYS:
        return f"{key}: unknown key; {did_you_mean(str(key), KEYS, kind='keys')}"
    if key in ("bos", "eos", "replace_eos"):
        return None if isinstance(value, bool) else f"{key}: must be true or false, is {value!r}"
    if key == "stop_words":
        fine = isinstance(value, list) and all(isinstance(word, str) for word in value)
        return None if fine else f"{key}: must be a list of texts, is {value!r}"
    if not isinstance(value, str):
        return f"{key}: must be text, is {value!r}; put it in quotes if that is what you mean"
    if '"""' in value:
        return f'{key}: must not contain """, which an Ollama Modelfile cannot hold'
    if key in ("system", "user", "assistant") and value.count(CONTENT) != 1:
        return f"{key}: must contain {CONTENT} exactly once, where the message goes"
    if key == "query" and "{{" in value:
        return "query: takes no placeholder; it is the text in front of the second part of a user's message"
    if key in ("system", "user", "assistant") and re.search(r"\{\{(?!content\}\})\w+\}\}", value):
        return f"{key}: the only placeholder is {CONTENT}"
    return None


def _rules(spec: TemplateSpec, values: dict[str, Any], path: Path) -> list[str]:
    """What the schema cannot say: how the keys go together."""
    problems = []
    if not NAME.fullmatch(spec.name):
        problems.append(f"name: {spec.name!r} {NAME_RULE}")
    elif spec.name != path.stem:
        problems.append(f"name: is {spec.name!r}, but the file is named {path.stem!r}; make them equal")
    if spec.extends:
        clash = [key for key in _OWN_FORMAT if key in values]
        if clash:
            problems.append(f"extends: takes the format from {spec.extends!r}; remove {', '.join(clash)}")
        if not spec.persona and not spec.default_system_of:
            problems.append("default_system: is empty, so nothing would differ from the template it extends")
    else:
        problems += _own_format_rules(spec)
    if spec.default_system and spec.default_system_of:
        problems.append("default_system_of: there is a default_system already; remove one of the two")
    hidden = [token for token in control_tokens([spec.default_system]) if token.startswith(("<|", "<｜"))]
    if hidden:
        problems.append(
            f"default_system: contains {', '.join(hidden)}, which the tokenizer would read as a control token"
        )
    return problems


def _own_format_rules(spec: TemplateSpec) -> list[str]:
    missing = [key for key in ("user", "assistant") if getattr(spec, key) is None]
    if missing:
        return [f"{' and '.join(missing)}: missing; write them, or `extends:` an existing template"]
    problems = []
    if spec.user and spec.user[-1] in " \t":
        problems.append(
            "user: ends with a space, which would merge with the answer's first word when served but not in training; "
            "move it to the start of `assistant`"
        )
    if (spec.default_system or spec.default_system_of) and not spec.system:
        problems.append("system: missing, so there is no place for default_system; write the text around {{content}}")
    if not spec.eos and not spec.stop_words:
        problems.append("eos: an answer never ends, so the model would not learn to stop; write `eos: true`")
    if spec.stop_words and not spec.eos and spec.assistant and spec.stop_words[0] not in spec.assistant:
        problems.append(f"stop_words: {spec.stop_words[0]!r} is not in `assistant`, so the model would not learn it")
    if spec.replace_eos and not spec.stop_words:
        problems.append("replace_eos: needs stop_words, the first of which becomes the EOS token")
    return problems
