"""The schema of one file in ``templates/``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from .chat_format import CONTENT, ChatFormat, Slots, chat_format
from .errors import did_you_mean
from .safe_text import control_tokens

#: Names of templates, data sets and recipes: safe in a path, and text in YAML (unlike 007, 1e3 or null).
NAME = re.compile(r"(?!(?i:null|true|false|yes|no|on|off|nan|inf)$)[A-Za-z][A-Za-z0-9._-]*")
NAME_RULE = "must begin with a letter, go on with letters, digits, '.', '_' and '-', and not be a word like null or yes"
_OWN_FORMAT = ("prefix", "system", "user", "assistant", "bos", "eos", "stop_words", "replace_eos")


def _no_triple_quotes(text: str) -> str:
    if '"""' in text:
        raise ValueError('must not contain """, which an Ollama Modelfile cannot hold')
    return text


def _has_content(text: str) -> str:
    if text.count(CONTENT) != 1:
        raise ValueError(f"must contain {CONTENT} exactly once, where the message goes")
    if re.search(r"\{\{(?!content\}\})\w+\}\}", text):
        raise ValueError(f"the only placeholder is {CONTENT}")
    return text


Text = Annotated[StrictStr, AfterValidator(_no_triple_quotes)]
Format = Annotated[Text, AfterValidator(_has_content)]


class TemplateSpec(BaseModel):
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
        bos: start with the tokenizer's BOS token.
        eos: end every answer with the tokenizer's EOS token (it is trained on).
        stop_words: further tokens that end an answer.
        replace_eos: make the first stop word the tokenizer's EOS token.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: StrictStr
    description: StrictStr = ""
    extends: StrictStr | None = None
    default_system: Text = ""
    default_system_of: StrictStr | None = None
    prefix: Text = ""
    system: Format | None = None
    user: Format | None = None
    assistant: Format | None = None
    bos: StrictBool = False
    eos: StrictBool = False
    stop_words: list[StrictStr] = Field(default_factory=list)
    replace_eos: StrictBool = False

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
            default_system=self.persona,
            stop_words=self.stop_words,
            replace_eos=self.replace_eos,
        )


def parse(values: dict[str, Any], path: Path) -> tuple[TemplateSpec | None, list[str]]:
    """Check one template file's values.

    Returns:
        The spec (None when there are problems) and all problems, each as ``file: key: what and how to mend it``.
    """
    problems = []
    try:
        spec = TemplateSpec.model_validate(values)
    except ValidationError as error:
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"]) or "file"
            if item["type"] == "extra_forbidden":
                message = f"unknown key; {did_you_mean(key, TemplateSpec.model_fields, kind='keys')}"
            elif item["type"] == "missing":
                message = f"is missing; for this file write `name: {path.stem}`"
            else:
                message = item["msg"].removeprefix("Value error, ")
            problems.append(f"{path}: {key}: {message}")
        return None, problems
    problems = [f"{path}: {problem}" for problem in _rules(spec, values, path)]
    return (None if problems else spec), problems


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
