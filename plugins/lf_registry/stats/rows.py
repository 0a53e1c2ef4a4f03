"""A dataset's rows as question, context and answer, read as LLaMA-Factory reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..dataset_info import check_datasets, known_datasets, read_dataset_info
from ..errors import UserError, did_you_mean


@dataclass(frozen=True)
class Row:
    """One example.

    Attributes:
        number: in the file, from 1.
        question: what is asked; of a conversation its last turn.
        context: the text that the question is about; None when the dataset has no such column.
        answer: of a conversation its last one; "" when there is none.
    """

    number: int
    question: str
    context: str | None
    answer: str


def folder_of(name: str, root: Path | None) -> Path:
    """The folder whose ``dataset_info.json`` has this dataset.

    Raises:
        UserError: no folder has it, or its file is missing or empty; suggests names.
    """
    known = known_datasets()
    folder = root or (known[name][0] if name in known else Path())
    if root is None and name not in known:
        raise UserError(
            f"there is no dataset {name!r}; {did_you_mean(name, known, kind='datasets')}",
            hint="lf-registry list datasets",
        )
    check_datasets([name], str(folder))
    return folder


def read_rows(name: str, folder: Path) -> list[Row]:
    """Read all rows of a dataset.

    Raises:
        UserError: LLaMA-Factory cannot read it.
    """
    from ..hooks.pipeline import Arguments

    entry = read_dataset_info(folder)[name]
    values = {"model_name_or_path": "none", "template": "default", "dataset": name, "dataset_dir": str(folder)}
    arguments = Arguments.parse(values | {"stage": "sft", "do_train": True})
    try:
        attributes, data = arguments.dataset(name)
    except Exception as error:  # `datasets` and LLaMA-Factory raise many kinds; each means it cannot be read
        raise UserError(f"dataset {name}: {str(error).splitlines()[0]}", hint="lf-registry check RECIPE") from error
    if entry.get("formatting", "alpaca") == "alpaca":
        return [_alpaca(number, raw, attributes) for number, raw in enumerate(data, 1)]
    convert = arguments.converter(attributes)
    return [_conversation(number, convert(raw), raw) for number, raw in enumerate(data, 1)]


def _alpaca(number: int, raw: Mapping[str, Any], attributes: Any) -> Row:
    """Columns by the mapping in ``dataset_info.json``: the ``query`` is the context."""
    answer = raw.get(attributes.chosen if attributes.ranking else attributes.response)
    context = raw.get(attributes.query) if attributes.query else None
    return Row(number, _text(raw.get(attributes.prompt)), context or None, _text(answer))


def _conversation(number: int, converted: Mapping[str, Any], raw: Mapping[str, Any]) -> Row:
    asked = next((message for message in reversed(converted["_prompt"]) if message["role"] == "user"), None)
    answer = converted["_response"][0] if converted["_response"] else None
    context = raw.get("context")
    return Row(
        number,
        _text(asked and asked["content"]),
        context if isinstance(context, str) and context else None,
        _text(answer and answer["content"]),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def fields(row: Row) -> Iterator[tuple[str, str]]:
    """The texts of a row that are measured: name, text."""
    yield "question", row.question
    if row.context is not None:
        yield "context", row.context
    yield "answer", row.answer
