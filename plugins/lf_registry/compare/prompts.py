"""What is asked: prompts with their reference answers, from a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..convert_readers import CONVERSATION_NAMES, PROMPT_NAMES, RESPONSE_NAMES
from ..errors import UserError
from ..text_encoding import read_text

#: Keys of a prompt file that hold a reference answer, besides those that ``convert`` knows.
_REFERENCES = ("reference", *RESPONSE_NAMES)
#: Names that ShareGPT files have for the roles of a message.
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "observation": "tool"}
_KNOWN_ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class Prompt:
    """One conversation that ends with a question.

    Attributes:
        source: the dataset's name, or the file's.
        row: its row or line there, from 1.
        messages: in Transformers' form; the last one is what is asked.
        reference: the answer that is expected, where there is one.
        tools: the tools that the model may call, in Transformers' form.
    """

    source: str
    row: int
    messages: tuple[dict[str, Any], ...]
    reference: str | None = None
    tools: tuple[dict[str, Any], ...] = ()

    @property
    def question(self) -> str:
        """The last message's text."""
        return str(self.messages[-1].get("content") or "")

    @property
    def system(self) -> str:
        """The system message that this prompt brings; empty when it leaves that to the chat template."""
        first = self.messages[0]
        return str(first["content"]) if first["role"] == "system" else ""


def read_prompts(path: Path, most: int | None = None) -> list[Prompt]:
    """Read prompts from a text file (one a line), JSONL, or a JSON list.

    An object has the question under ``prompt`` (or ``instruction`` with ``input``, ``question``, ...), perhaps a
    ``reference`` (or ``output``, ``response``, ``answer``, ...) and a ``system``; or it has ``messages``, of which a
    last one by the assistant is the reference.

    Args:
        path: the file.
        most: only so many, from the start.

    Raises:
        UserError: lists every line that is no prompt.
    """
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv"):
        raise UserError(
            f"{path}: a table has to become a dataset first",
            hint=f"lf-registry convert {path} --name NAME, then --data NAME instead of --prompts",
        )
    text, _ = read_text(path)
    if kind == ".json":
        items = enumerate(_json_list(path, text), 1)
    elif kind in (".jsonl", ".ndjson"):
        items = _json_lines(text)
    else:
        items = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip())
    prompts: list[Prompt] = []
    problems: list[str] = []
    for number, item in items:
        try:
            prompts.append(_prompt(item, path.name, number))
        except UserError as error:
            problems.append(f"{path}, {'row' if kind == '.json' else 'line'} {number}: {error.problems[0]}")
    if problems:
        raise UserError(problems, hint='a line is {"prompt": "...", "reference": "..."} or {"messages": [...]}')
    if not prompts:
        raise UserError(f"{path}: there is no prompt in it", hint="write one question a line")
    return prompts[:most]


def _json_list(path: Path, text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg})") from None
    if not isinstance(value, list):
        raise UserError(f"{path}: must hold a JSON list, holds {type(value).__name__}")
    return value


def _json_lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                yield number, error


def _prompt(item: Any, source: str, row: int) -> Prompt:
    if isinstance(item, ValueError):
        raise UserError(f"not valid JSON ({item})")
    try:
        json.dumps(item, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UserError("has half a character (an escape such as \\ud83d alone): write it whole, as UTF-8") from None
    if isinstance(item, str):
        item = {"prompt": item}
    if not isinstance(item, dict):
        raise UserError(f"is {type(item).__name__}, not text or an object")
    system = item.get("system") or ""
    key = next((name for name in CONVERSATION_NAMES if name in item), None)
    if key is not None:
        messages = _messages(item[key])
    else:
        name = next((name for name in PROMPT_NAMES if name in item), None)
        if name is None:
            raise UserError(f"has no prompt (keys: {', '.join(map(str, item)) or 'none'})")
        parts = [item[name]] + ([item["input"]] if name == "instruction" and item.get("input") else [])
        if not all(isinstance(part, str) and part.strip() for part in parts):
            raise UserError(f"{name}: must be text, and not empty")
        messages = [{"role": "user", "content": "\n".join(parts)}]
    found = next((name for name in _REFERENCES if item.get(name) is not None), None)
    reference = item[found] if found else None
    if reference is not None and (isinstance(reference, bool) or not isinstance(reference, str | int | float)):
        raise UserError(f"{found}: must be text, is {type(reference).__name__}")
    if messages[-1]["role"] == "assistant":
        last = messages.pop()["content"]
        reference = last if reference is None else reference
    if not messages or messages[-1]["role"] not in ("user", "tool"):
        raise UserError("its messages do not end with a question")
    if system and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": str(system)})
    text = None if reference is None else str(reference)
    return Prompt(source, row, tuple(messages), text if text and text.strip() else None)  # as of a dataset's row


def _messages(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise UserError("messages: must be a list, and not empty")
    messages = []
    for number, message in enumerate(value, 1):
        if not isinstance(message, dict):
            raise UserError(f"messages: message {number} must be an object")
        role = message.get("role", message.get("from"))
        content = message.get("content", message.get("value"))
        role = _ROLES.get(str(role), str(role))
        if role not in _KNOWN_ROLES:
            raise UserError(f"messages: message {number} has the role {role!r}, not one of {', '.join(_KNOWN_ROLES)}")
        if not isinstance(content, str):
            raise UserError(f"messages: the content of message {number} must be text")
        messages.append({"role": role, "content": content})
    return messages
