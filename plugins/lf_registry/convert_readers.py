"""Source files of other formats as question/answer rows."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .convert_options import ReadOptions
from .errors import UserError, did_you_mean

#: Names that a question or an answer has in the files people bring, tried in this order when no mapping is given.
PROMPT_NAMES = ("instruction", "prompt", "question", "input", "Q", "질문")
RESPONSE_NAMES = ("output", "response", "answer", "completion", "A", "답변")
CONVERSATION_NAMES = ("messages", "conversations")


@dataclass
class Row:
    """One example and the line where it starts: why it cannot be used, if so, and the columns that are not used."""

    line: int
    values: dict[str, Any]
    problem: str | None = None
    unused: tuple[str, ...] = ()


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
    """One example a line: question, delimiter, answer. Empty lines and ``#`` comments are passed over."""
    delimiter = options.delimiter or " | "
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip() or (content.lstrip().startswith("#") and delimiter not in content):
            continue
        question, found, answer = content.partition(delimiter)
        if not found:
            yield Row(line, {}, f"there is no delimiter {delimiter!r}")
        elif delimiter in answer:
            yield Row(line, {}, f"the delimiter {delimiter!r} stands more than once")
        else:
            yield Row(line, {"prompt": question.strip(), "response": answer.strip()})


def read_csv(text: str, options: ReadOptions, *, quoting: int = csv.QUOTE_MINIMAL) -> Iterator[Row]:
    """CSV with a header line; ``options.delimiter`` is the column separator (a comma when not given).

    Raises:
        UserError: the quotes do not match: nothing behind that line can be read, so it is never just skipped.
    """
    delimiter = options.delimiter or ","
    if len(delimiter) != 1:
        raise UserError(f"--delimiter: a CSV file's columns are separated by one character, not {delimiter!r}")
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, quoting=quoting)
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
                yield _row(line, named, mapping)
    except csv.Error as error:
        raise UserError(
            f"line {line}: not valid CSV ({error}); a quote inside a quoted cell is written twice"
        ) from None


def read_tsv(text: str, options: ReadOptions) -> Iterator[Row]:
    """CSV with tabs, in which a quote is an ordinary character."""
    tabs = ReadOptions(options.markers, options.delimiter or "\t", options.columns)
    return read_csv(text, tabs, quoting=csv.QUOTE_NONE)


def read_json(text: str, options: ReadOptions) -> Iterator[Row]:
    """A JSON list of objects (or an object with one list in it); the row number stands for the line."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"line {error.lineno}, column {error.colno}: not valid JSON ({error.msg})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"not usable JSON ({error})") from None
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
                except (ValueError, RecursionError) as error:
                    yield line, error

    return _objects(parsed(), options)


def _objects(items: Any, options: ReadOptions) -> Iterator[Row]:
    for line, item in items:
        if isinstance(item, Exception):
            yield Row(line, {}, f"not valid JSON ({item})")
        elif not isinstance(item, dict):
            yield Row(line, {}, f"is not an object but {type(item).__name__}")
        elif not options.columns and (name := next((key for key in CONVERSATION_NAMES if key in item), None)):
            system = [{"role": "system", "content": item["system"]}] if item.get("system") else []
            messages = system + item[name] if isinstance(item[name], list) else item[name]
            yield Row(line, {"messages": messages}, unused=tuple(sorted(set(item) - {name, "system"})))
        else:
            try:
                mapping = map_columns(list(item), options.columns)
            except UserError as error:
                yield Row(line, {}, error.problems[0])
                continue
            yield _row(line, item, mapping)


def _row(line: int, named: dict[str, Any], mapping: dict[str, str]) -> Row:
    """Pick the mapped columns; a ``query`` goes behind the prompt, as LLaMA-Factory puts Alpaca's ``input``."""
    values = {ours: named[theirs] for ours, theirs in mapping.items()}
    values = {key: value.strip() if isinstance(value, str) else value for key, value in values.items()}
    query = values.pop("query", "")
    if query and isinstance(values["prompt"], str):
        values["prompt"] = f"{values['prompt']}\n{query}" if isinstance(query, str) else query
    return Row(line, values, unused=tuple(sorted(set(named) - set(mapping.values()))))


def map_columns(names: list[str], columns: dict[str, str]) -> dict[str, str]:
    """Which of the file's columns is the prompt, the response and the system text.

    Raises:
        UserError: a mapped column does not exist, or no column has a name that says what it is.
    """
    if columns:
        missing = [theirs for theirs in columns.values() if theirs not in names]
        if missing:
            raise UserError(f"there is no column {missing[0]!r}; {did_you_mean(missing[0], names, kind='columns')}")
        return _once(names, columns)
    prompt = next((name for name in PROMPT_NAMES if name in names), None)
    response = next((name for name in RESPONSE_NAMES if name in names and name != prompt), None)
    if prompt is None or response is None:
        raise UserError(
            f"cannot tell which columns are question and answer (columns: {', '.join(names) or 'none'})",
            hint="say it: --columns prompt=NAME,response=NAME",
        )
    mapping = {"prompt": prompt, "response": response}
    if prompt == "instruction" and "input" in names:
        mapping["query"] = "input"
    if prompt == "question" and "context" in names:
        mapping["context"] = "context"
    return _once(names, mapping | ({"system": "system"} if "system" in names else {}))


def _once(names: list[str], mapping: dict[str, str]) -> dict[str, str]:
    twice = [theirs for theirs in mapping.values() if names.count(theirs) > 1]
    if twice:
        raise UserError(f"the column {twice[0]!r} stands twice in the header")
    return mapping


#: The nesting that only SQuAD files (KorQuAD 1.0 is one) have.
_SQUAD = re.compile(r'"data"\s*:\s*\[.*"paragraphs"\s*:\s*\[', re.S)

READERS: dict[str, Callable[[str, ReadOptions], Iterator[Row]]] = {
    "marker": read_markers,
    "delimited": read_delimited,
    "csv": read_csv,
    "tsv": read_tsv,
    "json": read_json,
    "jsonl": read_jsonl,
}


def guess_format(suffix: str, text: str, options: ReadOptions) -> str:
    """The format by file name, and by what is in it."""
    if suffix.lower() == ".json" and _SQUAD.search(text[:100_000]):
        return "squad"
    named = {".csv": "csv", ".tsv": "tsv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(suffix.lower())
    return named or ("marker" if options.markers[0] in text else "delimited")
