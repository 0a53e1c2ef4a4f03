"""The check of a dataset's rows, in one pass: each goes through LLaMA-Factory's converter and processor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..hooks.pipeline import IGNORE_INDEX, Encoder
from . import duplicates
from .chunk import Chunk
from .parity import Encoded, Parity, conversation
from .samples import sample
from .tally import Tally
from .texts import text_problems


class RowCheck:
    """Checks rows of one dataset.

    Args:
        converter: LLaMA-Factory's converter.
        encoder: LLaMA-Factory's processor, or None when there is no tokenizer.
        parity: compares with the chat template; None when there is nothing to compare with.
        control: matches control tokens.
        columns: the columns that hold an answer and a prompt, for saying why a row is dropped.
        stage: the training stage; answers are looked at for ``sft``.
    """

    def __init__(
        self,
        converter: Any,
        encoder: Encoder | None,
        parity: Parity | None,
        control: re.Pattern[str] | None,
        columns: Mapping[str, str | None],
        stage: str,
    ) -> None:
        self._converter, self._encoder, self._parity = converter, encoder, parity
        self._control, self._columns, self._stage = control, columns, stage
        self._stops = set(encoder.template.get_stop_token_ids(encoder.tokenizer)) if encoder else set()
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
        problems = chunk.problems
        try:
            row = self._converter(raw)
        except Exception as error:  # whatever is in the row, the converter's failure is what a training would die of
            problems.add("unreadable-row", number, f"{type(error).__name__}: {error}")
            chunk.texts.append((b"", b""))
            return "", None
        contents = [message["content"] for message in [*row["_prompt"], *row["_response"]]]
        contents = [content if isinstance(content, str) else "" for content in contents]
        text = "\x1f".join(contents)
        question = "\x1f".join(contents[:-1])
        chunk.texts.append((duplicates.key(text), duplicates.key(duplicates.plain(question))))
        found: dict[str, str] = {}
        for content in (*contents, row["_system"] or ""):
            for code, excerpt in text_problems(content, self._control):
                found.setdefault(code, excerpt)
        for code, excerpt in found.items():
            problems.add(code, number, excerpt)
        reason = self._dropped(raw, row)
        if reason is not None:
            problems.add("dropped-row", number, reason)
            return text, None
        if self._stage == "sft" and any(
            message["role"] == "assistant" and isinstance(message["content"], str) and not message["content"].strip()
            for message in [*row["_prompt"], *row["_response"]]
        ):
            problems.add("empty-answer", number)
        if self._encoder is None:
            chunk.kept += 1
            return text, None
        return text, self._encode(chunk, number, row)

    def _dropped(self, raw: Mapping[str, Any], row: Mapping[str, Any]) -> str | None:
        """Why LLaMA-Factory's processor passes over the row; None when it does not."""
        wanted = {"sft": 1, "rm": 2, "kto": 2}.get(self._stage)
        if wanted is None or (len(row["_prompt"]) % 2 == 1 and len(row["_response"]) == wanted):
            return None
        response, messages = self._columns.get("response"), self._columns.get("messages")
        if messages and isinstance(raw.get(messages), list):
            if not raw[messages]:
                return "it has no messages"
            return "its messages do not go user, assistant, user, assistant to the end"
        if response and not isinstance(raw.get(response), str):
            value = raw.get(response)
            kind = "nothing" if value is None else f"{type(value).__name__} {value!r:.40}"
            return f"column {response!r} must hold text, holds {kind}"
        return "it has no answer"

    def _encode(self, chunk: Chunk, number: int, row: Mapping[str, Any]) -> Encoded | None:
        assert self._encoder is not None
        problems = chunk.problems
        try:
            made = self._encoder.encode(row)
        except Exception as error:  # as above: a training would die of it
            problems.add("row-fails", number, f"{type(error).__name__}: {error}")
            return None
        if made is None:
            problems.add("dropped-row", number, "LLaMA-Factory's processor passes over it")
            return None
        chunk.kept += 1
        ids = made.get("input_ids") or made.get("chosen_input_ids") or []
        labels = made.get("labels") or made.get("chosen_labels") or []
        trained = len(labels) - labels.count(IGNORE_INDEX)
        chunk.lengths.append(len(ids))
        chunk.trained.append(trained)
        pairs = self._encoder.pairs
        whole = sum(len(part) for pair in pairs[: len(pairs) if self._stage == "sft" else 1] for part in pair)
        chunk.whole.append(max(whole, len(ids)))
        if number in self.previews:
            chunk.samples.append(sample(self._dataset, number, ids, labels, self._encoder.tokenizer))
        if self._stage != "sft":
            return None
        if not trained:
            problems.add("nothing-trained", number, *self._why_nothing(ids, labels))
        for code in self._cuts():
            problems.add(code, number)
        return self._whole_row(problems, number, row)

    def _why_nothing(self, ids: list[int], labels: list[int]) -> Iterator[str]:
        yield f"{sum(map(len, self._encoder.pairs[-1]))} tokens in the last turn, {len(ids)} left after the cut"

    def _cuts(self) -> set[str]:
        lost = set()
        for (prompt, answer), kept in zip(self._encoder.pairs, self._encoder.cuts(), strict=True):
            if kept == (0, 0):
                lost.add("lost-turns")
                continue
            if kept[0] < len(prompt):
                lost.add("lost-header")
            if kept[1] < len(answer):
                lost.add("lost-eos")
        return lost

    def _whole_row(self, problems: Tally, number: int, row: Mapping[str, Any]) -> Encoded | None:
        ids, labels = self._encoder.uncut(row)
        pairs = self._encoder.pairs
        prompt = sum(len(part) for pair in pairs for part in pair) - len(pairs[-1][1])
        # An answer's end may have a newline behind the stop token, hardly more.
        if not any(label in self._stops for label in labels[-3:]):
            problems.add("eos-not-trained", number)
        return Encoded(number, *_conversation(row), ids, [label != IGNORE_INDEX for label in labels], len(ids) - prompt)


def _conversation(row: Mapping[str, Any]) -> tuple[list[dict[str, Any]] | None, list[Any] | None]:
    try:
        return conversation(row)
    except (ValueError, KeyError, TypeError):
        return None, None
