"""Source files of other formats as question/answer rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .errors import UserError, WrongUsage, did_you_mean

#: Names that a question or an answer has in the files people bring, tried in this order when no mapping is given.
PROMPT_NAMES = ("instruction", "prompt", "question", "input", "Q", "질문")
RESPONSE_NAMES = ("output", "response", "answer", "completion", "A", "답변")
CONVERSATION_NAMES = ("messages", "conversations")


@dataclass
class Row:
    """One example and the line where it starts. ``problem`` says why it cannot be used."""

    line: int
    values: dict[str, Any]
    problem: str | None = None


@dataclass
class ReadOptions:
    """How to read a source.

    Attributes:
        markers: the texts in front of a question and of an answer.
        delimiter: between question and answer on one line, or between the columns of a CSV file.
        columns: our column (``prompt``, ``response``, ``system``) -> the file's column; empty: guess.
    """

    markers: tuple[str, str] = ("<|question|>", "<|answer|>")
    delimiter: str | None = None
    columns: dict[str, str] = field(default_factory=dict)


def read_markers(text: str, options: ReadOptions) -> Iterator[Row]:
    """``<|question|> ... <|answer|> ...``, repeated; either may span lines."""
    question, answer = options.markers
    before, *examples = text.split(question)
    if before.strip():
        yield Row(1, {}, f"text in front of the first {question}")
    line = before.count("\n") + 1
    for example in examples:
        parts = example.split(answer)
        if len(parts) == 2:
            yield Row(line, {"prompt": parts[0].strip(), "response": parts[1].strip()})
        else:
            yield Row(line, {}, f"has {len(parts) - 1} {answer} after its {question}, needs one")
        line += example.count("\n")


def read_delimited(text: str, options: ReadOptions) -> Iterator[Row]:
    """One example a line: question, delimiter, answer. Empty lines and lines that start with ``#`` are passed over."""
    delimiter = options.delimiter or " | "
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip() or content.lstrip().startswith("#"):
            continue
        question, found, answer = content.partition(delimiter)
        if not found:
            yield Row(line, {}, f"there is no delimiter {delimiter!r}")
        elif delimiter in answer:
            yield Row(line, {}, f"the delimiter {delimiter!r} stands more than once")
        else:
            yield Row(line, {"prompt": question.strip(), "response": answer.strip()})


def read_csv(text: str, options: ReadOptions) -> Iterator[Row]:
    """CSV with a header line; ``options.delimiter`` is the column separator (a comma when not given)."""
    delimiter = options.delimiter or ","
    if len(delimiter) != 1:
        raise UserError(f"--delimiter: a CSV file's columns are separated by one character, not {delimiter!r}")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        mapping = map_columns(header, options.columns)
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                yield Row(line, {}, f"has {len(cells)} columns, the header has {len(header)}")
            else:
                named = dict(zip(header, cells, strict=True))
                yield Row(line, {ours: named[theirs].strip() for ours, theirs in mapping.items()})
    except csv.Error as error:
        yield Row(line, {}, f"not valid CSV ({error})")


def read_tsv(text: str, options: ReadOptions) -> Iterator[Row]:
    """CSV with tabs."""
    return read_csv(text, ReadOptions(options.markers, options.delimiter or "\t", options.columns))


def read_json(text: str, options: ReadOptions) -> Iterator[Row]:
    """A JSON list of objects (or an object with one list in it); the row number stands for the line."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"line {error.lineno}, column {error.colno}: not valid JSON ({error.msg})") from None
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        value = lists[0] if len(lists) == 1 else value
    if not isinstance(value, list):
        raise UserError("the file must hold a JSON list of objects")
    return _objects(enumerate(value, 1), options)


def read_jsonl(text: str, options: ReadOptions) -> Iterator[Row]:
    """One JSON object a line."""

    def parsed() -> Iterator[tuple[int, Any]]:
        for line, content in enumerate(text.split("\n"), 1):
            if content.strip():
                try:
                    yield line, json.loads(content)
                except json.JSONDecodeError as error:
                    yield line, error

    return _objects(parsed(), options)


def _objects(items: Any, options: ReadOptions) -> Iterator[Row]:
    for line, item in items:
        if isinstance(item, json.JSONDecodeError):
            yield Row(line, {}, f"not valid JSON (column {item.colno}: {item.msg})")
        elif not isinstance(item, dict):
            yield Row(line, {}, f"is not an object but {type(item).__name__}")
        elif not options.columns and (name := next((key for key in CONVERSATION_NAMES if key in item), None)):
            yield Row(line, {"messages": item[name]})
        else:
            try:
                mapping = map_columns(list(item), options.columns)
            except UserError as error:
                yield Row(line, {}, error.problems[0])
                continue
            values = {ours: item[theirs] for ours, theirs in mapping.items()}
            yield Row(line, {key: text.strip() if isinstance(text, str) else text for key, text in values.items()})


def map_columns(names: list[str], columns: dict[str, str]) -> dict[str, str]:
    """Which of the file's columns is the prompt, the response and the system text.

    Raises:
        UserError: a mapped column does not exist, or no column has a name that says what it is.
    """
    if columns:
        missing = [theirs for theirs in columns.values() if theirs not in names]
        if missing:
            raise UserError(f"there is no column {missing[0]!r}; {did_you_mean(missing[0], names, kind='columns')}")
        return columns
    prompt = next((name for name in PROMPT_NAMES if name in names), None)
    response = next((name for name in RESPONSE_NAMES if name in names and name != prompt), None)
    if prompt is None or response is None:
        raise UserError(
            f"cannot tell which columns are question and answer (columns: {', '.join(names) or 'none'})",
            hint="say it: --columns prompt=NAME,response=NAME",
        )
    return {"prompt": prompt, "response": response} | ({"system": "system"} if "system" in names else {})


def parse_columns(text: str | None) -> dict[str, str]:
    """``prompt=Q,response=A`` as a mapping.

    Raises:
        WrongUsage: not ``ours=theirs``, an unknown column of ours, or prompt or response missing.
    """
    if text is None:
        return {}
    ours = ("prompt", "response", "system")
    mapping = {}
    for part in text.split(","):
        key, equals, name = (piece.strip() for piece in part.partition("="))
        if not equals or not name:
            raise WrongUsage(f"--columns: {part.strip()!r} is not column=NAME", hint="--columns prompt=Q,response=A")
        if key not in ours:
            raise WrongUsage(f"--columns: {key!r} is unknown; {did_you_mean(key, ours, kind='columns')}")
        mapping[key] = name
    missing = [key for key in ("prompt", "response") if key not in mapping]
    if missing:
        raise WrongUsage(f"--columns: {' and '.join(missing)} missing", hint="--columns prompt=Q,response=A")
    return mapping


READERS: dict[str, Callable[[str, ReadOptions], Iterator[Row]]] = {
    "marker": read_markers,
    "delimited": read_delimited,
    "csv": read_csv,
    "tsv": read_tsv,
    "json": read_json,
    "jsonl": read_jsonl,
}


def guess_format(suffix: str, text: str, options: ReadOptions) -> str:
    """The format by file name, and for plain text by what is in it."""
    named = {".csv": "csv", ".tsv": "tsv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(suffix.lower())
    return named or ("marker" if options.markers[0] in text else "delimited")
