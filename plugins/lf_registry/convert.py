"""``lf-registry convert``: a file of another format becomes a dataset and its entry in ``dataset_info.json``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from .convert_options import ReadOptions
from .convert_readers import READERS, Row, guess_format
from .convert_report import Report, unit_of
from .convert_squad import read_squad
from .dataset_info import FILE_NAME, MESSAGES_ENTRY, QUESTION_CONTEXT_ENTRY, add_entry, read_dataset_info
from .errors import UserError, WrongUsage, did_you_mean
from .files import json_text, write_atomically
from .template_spec import NAME, NAME_RULE
from .text_encoding import read_text

#: Roles as they are called in OpenAI's and in ShareGPT's notation.
_ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "system": "system"}


def convert(
    source: Path,
    name: str,
    *,
    root: Path,
    format: str | None = None,
    options: ReadOptions | None = None,
    encoding: str | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> Report:
    """Convert ``source`` to ``root/datasets/NAME.json`` and add its entry to ``root/dataset_info.json``.

    Args:
        source: the file to read.
        name: the dataset's name in a recipe.
        root: the folder of ``dataset_info.json`` (made when missing).
        format: one of ``READERS``, or ``squad``; guessed from the file when not given.
        options: markers, delimiter and columns.
        encoding: of the source; recognized when not given.
        skip_bad: leave out examples that cannot be used instead of stopping.
        overwrite: replace a dataset of this name.

    Raises:
        UserError: lists every bad example with its line; nothing is written then.
    """
    options = options or ReadOptions()
    if not NAME.fullmatch(name):
        raise WrongUsage(f"--name: {name!r} {NAME_RULE}")
    readers = READERS | {"squad": read_squad}
    if format is not None and format not in readers:
        raise WrongUsage(f"--format: {format!r} is unknown; {did_you_mean(format, readers, kind='formats')}")
    target = root / "datasets" / f"{name}.json"
    info = read_dataset_info(root) if (root / FILE_NAME).is_file() else {}
    if not overwrite and (name in info or target.exists()):
        where = root / FILE_NAME if name in info else target
        raise UserError(
            f"the dataset {name!r} exists already ({where})", hint="choose another --name, or add --overwrite"
        )

    text, used_encoding = read_text(source, encoding)
    used_format = format or guess_format(source.suffix, text, options)
    report = Report(target, used_format, used_encoding)
    try:
        rows = list(readers[used_format](text, options))
    except UserError as error:
        raise UserError([f"{source}: {problem}" for problem in error.problems], hint=error.hint) from None
    examples = []
    for row in rows:
        problem = row.problem or _problem(row, options)
        if problem:
            report.skipped.append((row.line, problem))
        else:
            examples.append(_example(row))
    _refuse(report, source, bool(examples), skip_bad)
    report.kept = len(examples)
    report.unused = sorted({column for row in rows for column in row.unused})
    report.duplicates = sum(count - 1 for count in Counter(json_text(example) for example in examples).values())
    write_atomically(target, json_text(examples))
    try:
        add_entry(root, name, _entry(name, examples))
    except UserError as error:
        written = f"{target} was written, its entry was not: make room, then the same command with --overwrite"
        raise UserError(error.problems, hint=error.hint or written) from None
    return report


def _refuse(report: Report, source: Path, any_left: bool, skip_bad: bool) -> None:
    unit = unit_of(report)
    problems = [f"{source}, {unit} {line}: {why}" for line, why in report.skipped]
    if problems and not skip_bad:
        shown = problems[:20] + ([f"... and {len(problems) - 20} more"] if len(problems) > 20 else [])
        raise UserError(shown, hint="correct them, or leave them out with --skip-bad; nothing was written")
    if not any_left:
        raise UserError([f"{source}: no usable example ({report.format}, {report.encoding})", *problems[:3]])


_TEXTS = {"prompt": "question", "context": "context", "response": "answer", "system": "system text"}
_OPTIONAL = ("context", "system")


def _problem(row: Row, options: ReadOptions) -> str | None:
    """Why an example would train on nothing, or on a marker; None when it is fine."""
    if "messages" in row.values:
        return _conversation_problem(row.values["messages"])
    for key, what in _TEXTS.items():
        value = row.values.get(key, None if key in _OPTIONAL else "")
        if value is None and key in _OPTIONAL:
            continue
        if not isinstance(value, str):
            return f"the {what} is not text but {type(value).__name__}"
        if not value.strip() and key != "system":
            return f"the {what} is empty"
        if _broken(value):
            return f"the {what} contains half of a character (a cut-off emoji)"
        for marker in options.markers:
            if marker in value:
                return f"the {what} contains the marker {marker}"
    return None


def _broken(text: str) -> bool:
    """Whether a text has a lone surrogate, which JSON allows and UTF-8 does not."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _conversation_problem(messages: Any) -> str | None:
    if not isinstance(messages, list) or not messages:
        return "the conversation is not a list of messages"
    turns = []
    for number, message in enumerate(messages, 1):
        name = message.get("role", message.get("from")) if isinstance(message, dict) else None
        role = _ROLES.get(name) if isinstance(name, str) else None
        content = message.get("content", message.get("value")) if isinstance(message, dict) else None
        if role is None:
            return f"message {number} has no role user, assistant or system"
        if not isinstance(content, str) or not content.strip():
            return f"message {number} is empty or not text"
        if _broken(content):
            return f"message {number} contains half of a character (a cut-off emoji)"
        turns.append(role)
    turns = turns[1:] if turns[0] == "system" else turns
    if len(turns) % 2 or not turns or turns != ["user", "assistant"] * (len(turns) // 2):
        return f"the roles must alternate user, assistant; they are {', '.join(turns)}"
    return None


def _example(row: Row) -> dict[str, Any]:
    if "messages" in row.values:
        messages = row.values["messages"]
        return {
            "messages": [
                {
                    "role": _ROLES[message.get("role", message.get("from"))],
                    "content": message.get("content", message.get("value")),
                }
                for message in messages
            ]
        }
    if "context" in row.values:
        return {
            "question": row.values["prompt"],
            "context": row.values["context"],
            "answer": row.values["response"],
        }
    system = row.values.get("system")
    example = {"instruction": row.values["prompt"], "output": row.values["response"]}
    return {"system": system, **example} if "system" in row.values else example


def _entry(name: str, examples: list[dict[str, Any]]) -> dict[str, Any]:
    """The dataset's entry; LLaMA-Factory fills columns that are not named with None, so all are named."""
    entry: dict[str, Any] = {"file_name": f"datasets/{name}.json"}
    if "messages" in examples[0]:
        entry |= MESSAGES_ENTRY
    elif "context" in examples[0]:
        entry |= QUESTION_CONTEXT_ENTRY
    else:
        entry["columns"] = {"prompt": "instruction", "response": "output"}
        if "system" in examples[0]:
            entry["columns"]["system"] = "system"
    return entry
