"""SQuAD files (KorQuAD 1.0 is one) as rows of question, context and answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .convert_options import ReadOptions
from .convert_readers import Row
from .errors import UserError

_EXPECTED = "a SQuAD file has data, in it paragraphs, in each a context and its qas"


def is_squad(value: Any) -> bool:
    """Whether a JSON value looks like a SQuAD file: ``{"data": [{"paragraphs": [...]}]}``."""
    data = value.get("data") if isinstance(value, dict) else None
    return isinstance(data, list) and bool(data) and isinstance(data[0], dict) and "paragraphs" in data[0]


def read_squad(text: str, options: ReadOptions) -> Iterator[Row]:
    """One row a question, with its first answer; the question's number in the file stands for the line.

    White space in a question becomes one space, because LLaMA-Factory joins question and context with a newline and the
    template `inha_qa` takes the first line for the question. The context stays as it is.

    Raises:
        UserError: the file is not SQuAD's JSON.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"line {error.lineno}, column {error.colno}: not valid JSON ({error.msg})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"not usable JSON ({error})") from None
    if not is_squad(value):
        raise UserError(f"not a SQuAD file: {_EXPECTED}", hint="for a list of objects: --format json")
    return _rows(value["data"])


def _rows(data: list[Any]) -> Iterator[Row]:
    number = 0
    for article in data:
        for paragraph in _list(article, "paragraphs"):
            context = paragraph.get("context") if isinstance(paragraph, dict) else None
            for question in _list(paragraph, "qas"):
                number += 1
                yield _row(number, question, context)


def _list(value: Any, key: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise UserError(f"not a SQuAD file: {key!r} is missing in an entry ({_EXPECTED})")
    return found


def _row(number: int, question: Any, context: Any) -> Row:
    """One question, or why it cannot be used."""
    if not isinstance(question, dict):
        return Row(number, {}, f"is not an object but {type(question).__name__}")
    name = f"(id {question['id']}) " if "id" in question else ""
    text = question.get("question")
    if not isinstance(text, str) or not isinstance(context, str):
        return Row(number, {}, f"{name}its question or its context is missing, or not text")
    answers = question.get("answers")
    first = answers[0] if isinstance(answers, list) and answers else None
    answer = first.get("text") if isinstance(first, dict) else None
    if not isinstance(answer, str) or not answer.strip():
        return Row(number, {}, f"{name}it has no answer, and this format has no way to say so")
    if answer.strip() not in context:
        return Row(number, {}, f"{name}the answer {answer.strip()!r} does not stand in its context")
    values = {"prompt": " ".join(text.split()), "context": context.strip(), "response": answer.strip()}
    return Row(number, values)
