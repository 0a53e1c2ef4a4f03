"""Why LLaMA-Factory passes over a row, in words that name what to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: How many answers the processor of a stage wants; None for any number.
_ANSWERS = {"sft": 1, "rm": 2, "kto": 2}


def is_dropped(row: Mapping[str, Any], stage: str) -> bool:
    """Whether the stage's processor passes over a converted row."""
    if stage == "pt":
        return False
    wanted = _ANSWERS.get(stage)
    return len(row["_prompt"]) % 2 != 1 or (wanted is not None and len(row["_response"]) != wanted)


def why_dropped(raw: Mapping[str, Any], attributes: Any, stage: str) -> str:
    """Why the row is dropped.

    Args:
        raw: the row as it stands in the file.
        attributes: LLaMA-Factory's ``DatasetAttr``: the dataset's entry.
        stage: the training stage.
    """
    if stage == "kto" and not attributes.kto_tag:
        return 'kto needs a column that says which answers are good: add "kto_tag" to "columns" of its entry'
    if stage == "kto" and not isinstance(raw.get(attributes.kto_tag), bool):
        found = raw.get(attributes.kto_tag)
        holds = "nothing" if found is None else repr(found)
        return f"column {attributes.kto_tag!r} must hold true or false, holds {holds}"
    if attributes.formatting != "alpaca":
        return _why_messages(raw.get(attributes.messages), attributes)
    if stage == "rm" and not attributes.ranking:
        return 'its entry lacks "ranking": true, with "chosen" and "rejected" in "columns"'
    columns = (attributes.chosen, attributes.rejected) if attributes.ranking else (attributes.response,)
    for column in columns:
        value = raw.get(column) if column else None
        if column and not isinstance(value, str):
            holds = "nothing" if value is None else f"{type(value).__name__} {value!r:.40}"
            hint = (
                "; a CSV file's numbers are read as numbers, JSONL keeps text" if isinstance(value, int | float) else ""
            )
            return f"column {column!r} must hold text, holds {holds}{hint}"
    return "it has no answer"


def _why_messages(messages: Any, attributes: Any) -> str:
    if not messages:
        return "it has no messages"
    known = {
        attributes.user_tag,
        attributes.assistant_tag,
        attributes.observation_tag,
        attributes.function_tag,
        attributes.system_tag,
    }
    used = [message.get(attributes.role_tag) for message in messages if isinstance(message, dict)]
    unknown = sorted({str(role) for role in used if role not in known})
    if unknown:
        return (
            f"its roles are {', '.join(map(repr, unknown))}; its entry in dataset_info.json expects "
            f"{attributes.user_tag!r} and {attributes.assistant_tag!r}: correct the row or, when all rows are so, "
            'write "user_tag" and "assistant_tag" into "tags" of the entry'
        )
    return "its messages do not go user, assistant, user, assistant to the end"
