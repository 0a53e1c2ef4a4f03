"""What is asked: the rows of datasets, read with LLaMA-Factory's own loader and converter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..dataset_info import check_datasets, known_datasets
from ..errors import UserError, did_you_mean
from .prompts import Prompt

#: How many rows that cannot be asked a note names.
_LISTED = 3


def dataset_folder(names: list[str], folder: str | None) -> str:
    """The folder of ``dataset_info.json``: the one that was named, else the data root that has these datasets.

    Raises:
        UserError: a dataset is unknown, its file is missing or empty, or they are not all in one folder.
    """
    if folder is None:
        known = known_datasets()
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UserError(
                [f"--data {name}: does not exist; {did_you_mean(name, known, kind='datasets')}" for name in unknown],
                hint="lf-registry list datasets; or --dataset-dir with the folder of another dataset_info.json",
            )
        places = {name: str(known[name][0]) for name in names}
        if len(set(places.values())) > 1:
            where = ", ".join(f"{name} in {place}" for name, place in places.items())
            raise UserError(
                f"--data: the datasets are in several folders ({where})", hint="list them in one dataset_info.json"
            )
        folder = next(iter(places.values()))
    check_datasets(names, folder)
    return folder


def dataset_prompts(name: str, folder: str, most: int | None = None) -> tuple[list[Prompt], list[str]]:
    """The rows of one dataset as prompts: everything up to the last answer is asked, that answer is the reference.

    Of preference data the chosen answer is the reference; of KTO data the answer when it was marked good.

    Args:
        name: in ``dataset_info.json``.
        folder: where that file is.
        most: only so many rows, from the start (LLaMA-Factory's ``max_samples`` takes the same).

    Returns:
        The prompts, and notes on rows that cannot be asked.

    Raises:
        UserError: the dataset cannot be loaded, or none of its rows can be asked.
    """
    from ..check.columns import column_findings, load_failure
    from ..hooks.pipeline import Arguments

    arguments = Arguments.parse(
        {"model_name_or_path": "unused", "stage": "sft", "do_train": True, "dataset": name, "dataset_dir": folder}
    )
    try:
        attributes, rows = arguments.dataset(name)
    except Exception as error:  # `datasets` and LLaMA-Factory raise many kinds; each means it cannot be read
        finding = load_failure(name, error, folder)
        if finding is None:
            raise UserError(f"dataset {name}: {error}") from None
        raise UserError(f"{finding.where}: {finding.message}", hint=finding.fix) from None
    wrong = [finding for finding in column_findings(f"dataset {name}", attributes, rows) if finding.severity == "error"]
    if wrong:
        raise UserError([f"{finding.where}: {finding.message}; {finding.fix}" for finding in wrong])
    convert = arguments.converter(attributes)
    prompts: list[Prompt] = []
    bad: list[str] = []
    for number, raw in enumerate(rows.select(range(min(most or len(rows), len(rows)))), 1):
        try:
            prompts.append(_prompt(convert(raw), name, number))
        except UserError as error:
            bad.append(f"row {number}: {error.problems[0]}")
        except Exception as error:  # whatever is in the row, the converter's failure is what a training would die of
            bad.append(f"row {number}: {type(error).__name__}: {error}")
    listed = "; ".join(bad[:_LISTED]) + (f"; and {len(bad) - _LISTED} more" if len(bad) > _LISTED else "")
    if not prompts:
        raise UserError(f"dataset {name}: no row can be asked ({listed or 'it has none'})")
    return prompts, [f"dataset {name}: {len(bad)} rows are left out: {listed}"] if bad else []


def _prompt(row: Mapping[str, Any], name: str, number: int) -> Prompt:
    if any(row[key] for key in ("_images", "_videos", "_audios")):
        raise UserError("has images, sound or video, which are not compared")
    if not row["_prompt"]:
        raise UserError("its messages do not go user, assistant, user, assistant to the end")
    if not str(row["_prompt"][-1]["content"] or "").strip():
        raise UserError("its question is empty")
    system = [{"role": "system", "content": row["_system"]}] if row["_system"] else []
    messages = system + [_message(message) for message in row["_prompt"]]
    answer = row["_response"][0] if row["_response"] else None
    reference = None
    if answer is not None and answer["role"] == "assistant" and isinstance(answer["content"], str):
        reference = answer["content"] if answer["content"].strip() else None
    return Prompt(name, number, tuple(messages), reference, tuple(_tools(row["_tools"])))


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of LLaMA-Factory's in Transformers' form."""
    role, content = message["role"], message["content"]
    if not isinstance(content, str):
        raise UserError(f"a message ({role}) must be text, is {type(content).__name__}")
    if role == "function":
        calls = json.loads(content)
        calls = calls if isinstance(calls, list) else [calls]
        return {"role": "assistant", "tool_calls": [{"type": "function", "function": call} for call in calls]}
    return {"role": "tool" if role == "observation" else role, "content": content}


def _tools(text: Any) -> list[dict[str, Any]]:
    tools = json.loads(text) if isinstance(text, str) and text.strip() else text or []
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]
