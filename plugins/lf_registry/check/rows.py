"""The check of a dataset's rows, in one pass: each goes through LLaMA-Factory's converter and processor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import duplicates
from .chunk import Chunk, Key
from .drops import is_dropped, why_dropped
from .encoding import RowEncoding
from .parity import Encoded, Parity
from .tally import Tally
from .texts import text_problems

#: In LLaMA-Factory's own identity dataset, for its user to fill in.
_PLACE_HOLDER = re.compile(r"\{\{\s*(?:name|author)\s*\}\}")
#: What else makes two rows different when their messages are the same.
_CONTEXT = ("_system", "_tools", "_images", "_videos", "_audios")
#: A `query` column with so many characters is a passage. Several questions on one passage are no repetition, so rows on
#: the same passage are compared by question and answer alone, and with rows on another passage not at all.
_PASSAGE = 100


class RowCheck:
    """Checks rows of one dataset.

    Args:
        converter: LLaMA-Factory's converter.
        attributes: LLaMA-Factory's ``DatasetAttr``, for saying why a row is dropped.
        encoding: LLaMA-Factory's processor, or None when there is no tokenizer.
        parity: compares with the chat template; None when there is nothing to compare with.
        control: matches control tokens.
        stage: the training stage; answers are looked at for ``sft``.
    """

    def __init__(
        self,
        converter: Any,
        attributes: Any,
        encoding: RowEncoding | None,
        parity: Parity | None,
        control: re.Pattern[str] | None,
        stage: str,
    ) -> None:
        self._converter, self._attributes, self._encoding = converter, attributes, encoding
        self._parity, self._control, self._stage = parity, control, stage
        self._dataset = ""
        self.previews: frozenset[int] = frozenset()

    def preview(self, dataset: str, rows: frozenset[int]) -> None:
        """Also make samples of these rows (numbers from 1)."""
        self._dataset, self.previews = dataset, rows

    def check(self, rows: Any, start: int, stop: int, *, near: bool) -> Chunk:
        """Check the rows from ``start`` to before ``stop`` of a ``datasets.Dataset``.

        Args:
            rows: the dataset.
            start, stop: the range.
            near: whether to make signatures for near duplicates.
        """
        chunk = Chunk(start)
        texts: list[str] = []
        encoded: list[Encoded] = []
        compared, skipped = (self._parity.compared, self._parity.skipped) if self._parity else (0, 0)
        batch = rows[start:stop]
        for offset in range(stop - start):
            raw = {key: values[offset] for key, values in batch.items()}
            text, row = self._row(chunk, start + offset + 1, raw)
            texts.append(text)
            if row is not None:
                encoded.append(row)
        chunk.rows = stop - start
        if near:
            chunk.signatures = duplicates.signatures(texts)
        if self._parity is not None:
            for difference in self._parity.compare(encoded):
                chunk.problems.add(f"parity-{difference.kind}", difference.row, *difference.lines)
            chunk.compared, chunk.skipped = self._parity.compared - compared, self._parity.skipped - skipped
        return chunk

    def _row(self, chunk: Chunk, number: int, raw: Mapping[str, Any]) -> tuple[str, Encoded | None]:
        """Check one row; returns its text for near duplicates ("" for none), and what is compared."""
        problems = chunk.problems
        try:
            row = self._converter(raw)
        except Exception as error:  # whatever is in the row, the converter's failure is what a training would die of
            problems.add("unreadable-row", number, f"{type(error).__name__}: {error}")
            chunk.keys.append(None)
            return "", None
        if is_dropped(row, self._stage):
            problems.add("dropped-row", number, why_dropped(raw, self._attributes, self._stage))
            chunk.keys.append(None)
            return "", None
        messages = [*row["_prompt"], *row["_response"]]
        contents = [message["content"] if isinstance(message["content"], str) else "" for message in messages]
        passage = self._passage(raw)
        key = _key(row, contents, answered=bool(row["_response"]))
        chunk.keys.append(key._replace(context=key.context + duplicates.key(passage)) if passage else key)
        found: dict[str, str] = {}
        for content in (*contents, row["_system"] or ""):
            for code, excerpt in text_problems(content, self._control):
                found.setdefault(code, excerpt)
        for code, excerpt in found.items():
            problems.add(code, number, excerpt)
        self._look(problems, number, row, messages)
        if self._stage == "kto":
            self._tag(chunk, number, row, raw)
        wrong = next(((i, m) for i, m in enumerate(messages, 1) if not isinstance(m["content"], str)), None)
        encoded = None
        if wrong is not None:
            kind = "nothing" if wrong[1]["content"] is None else type(wrong[1]["content"]).__name__
            problems.add("row-fails", number, f"message {wrong[0]} ({wrong[1]['role']}) must be text, is {kind}")
        elif self._encoding is None:
            chunk.kept += 1
        else:
            preview = self._dataset if number in self.previews else None
            encoded = self._encoding.add(chunk, number, row, preview)
        text = "\x1f".join(contents)
        return text.replace(passage, "", 1) if passage else text, encoded

    def _passage(self, raw: Mapping[str, Any]) -> str:
        """The passage that a row asks about; empty for none."""
        text = raw.get(self._attributes.query) if self._attributes.formatting == "alpaca" else None
        return text if isinstance(text, str) and len(text) >= _PASSAGE else ""

    def _tag(self, chunk: Chunk, number: int, row: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
        """Whether the answer is a good one, as LLaMA-Factory's processor tells: the place for a good one is filled."""
        good = bool(row["_response"][0]["content"])
        chunk.kto_tags.add(good)
        if not good and raw.get(self._attributes.kto_tag) is True:
            chunk.problems.add(
                "empty-answer", number, "marked as good, and trained on as a bad one because it is empty"
            )

    def _look(self, problems: Tally, number: int, row: Mapping[str, Any], messages: list[dict[str, Any]]) -> None:
        """Messages that say nothing, or that nobody finished."""
        empty = {m["role"] for m in messages if isinstance(m["content"], str) and not m["content"].strip()}
        if self._stage == "sft" and "assistant" in empty:
            problems.add("empty-answer", number)
        if self._stage != "pt" and "user" in empty:
            problems.add("empty-question", number)
        if self._stage == "rm" and row["_response"][0]["content"] == row["_response"][1]["content"]:
            problems.add("same-answers", number)
        if found := next((m["content"] for m in messages if _PLACE_HOLDER.search(str(m["content"]))), None):
            problems.add("placeholder", number, f"{found:.60}")


def _key(row: Mapping[str, Any], contents: list[str], *, answered: bool) -> Key:
    context = duplicates.key(repr([row.get(name) for name in _CONTEXT if row.get(name)]))
    question = duplicates.plain("\x1f".join(contents[:-1])) if answered else ""
    text = duplicates.key("\x1f".join(contents))
    return Key(text + context, duplicates.key(question) + context if question else None, context)
