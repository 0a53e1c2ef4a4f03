"""Whether a row's training ids equal those of the chat template that is saved with the model.

What is compared is what LLaMA-Factory encodes before any cut, against the saved chat template rendered and tokenized
the way ``apply_chat_template`` does it, a batch at a time (a batch uses all cores; one row does not).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..tool_jinja import TOOL_CALLS
from .batch_encoding import BatchEncoder

_MARKS = re.compile(r"\{%- (?:end)?generation -%\}\n")


@dataclass(frozen=True)
class Encoded:
    """One row, encoded by LLaMA-Factory and not cut.

    Attributes:
        row: its number.
        conversation: as ``apply_chat_template`` takes it; None when it cannot be written so (``conversation``).
        tools: the tool definitions, or None.
        ids, trained: the training ids, and for each whether it has a label.
        answer: how many ids belong to the last answer.
    """

    row: int
    conversation: list[dict[str, Any]] | None
    tools: list[Any] | None
    ids: list[int]
    trained: list[bool]
    answer: int


@dataclass(frozen=True)
class Difference:
    """One row that differs: the kind (``ids``, ``labels``, ``prompt``, ``refused``) and lines that show where."""

    row: int
    kind: str
    lines: tuple[str, ...]


def conversation(row: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """A converted row as messages and tools for ``apply_chat_template``.

    Raises:
        ValueError: its tools or tool calls are not JSON.
    """
    messages: list[dict[str, Any]] = [{"role": "system", "content": row["_system"]}] if row["_system"] else []
    for message in [*row["_prompt"], *row["_response"]]:
        if message["role"] == "function":
            calls = json.loads(message["content"])
            calls = calls if isinstance(calls, list) else [calls]
            tool_calls = [{"type": "function", "function": call} for call in calls]
            messages.append({"role": "assistant", "content": None, "tool_calls": tool_calls})
        else:
            role = "tool" if message["role"] == "observation" else message["role"]
            messages.append({"role": role, "content": message["content"]})
    return messages, json.loads(row["_tools"]) if row["_tools"] else None


class Parity:
    """Compares rows, a batch at a time.

    Attributes:
        KINDS: what can differ.
        compared: how many rows were compared so far; ``skipped`` use tools, whose format the template's chat template
            does not know.
    """

    KINDS = ("ids", "labels", "prompt", "refused")

    def __init__(self, template: Any, tokenizer: Any) -> None:
        self._template, self._tokenizer = template, tokenizer
        self._encoder = BatchEncoder(tokenizer)
        self._saved = tokenizer.chat_template
        #: Ours can be written with marks around what is trained on; of others only the last answer can be told.
        self._marked = template.jinja(tokenizer, masks=True) if hasattr(template, "jinja") else None
        #: Marks do not print anything: when they are all that differs, one of the two need not be rendered.
        self._only_marks = self._marked is not None and _MARKS.sub("", self._marked) == self._saved
        self._tools = self._marked is not None and template.format_function.tool_format in TOOL_CALLS
        self._stops = set(template.get_stop_token_ids(tokenizer))
        self.compared = self.skipped = 0

    def compare(self, batch: Sequence[Encoded]) -> Iterator[Difference]:
        """The rows of the batch that differ."""
        rows = []
        for row in batch:
            uses_tools = row.tools or any("tool_calls" in message for message in row.conversation or ())
            if row.conversation is None or (uses_tools and not self._tools):
                self.skipped += 1
            else:
                rows.append(row)
        self.compared += len(rows)
        texts: list[tuple[Encoded, str, Any]] = []
        for row in rows:
            try:
                if self._only_marks:
                    text, spans = self._render(self._marked, row, row.conversation, masks=True)
                    texts.append((row, text, spans))
                    continue
                text, spans = self._render(self._saved, row, row.conversation)
                if self._marked is not None:
                    marked, spans = self._render(self._marked, row, row.conversation, masks=True)
                    if marked != text:
                        yield Difference(row.row, "ids", ("the chat template with and without masks differ",))
                        continue
                else:
                    spans, _ = self._render(self._saved, row, row.conversation[:-1], prompt=True)
            except Exception as error:  # a chat template may raise anything: jinja2's own errors, TypeError, ...
                yield Difference(row.row, "refused", (f"{type(error).__name__}: {error}",))
                continue
            texts.append((row, text, spans))
        if texts:
            yield from self._compare_ids(texts)

    def _compare_ids(self, texts: list[tuple[Encoded, str, Any]]) -> Iterator[Difference]:
        rendered = [text for _, text, _ in texts]
        if self._marked is not None:
            spans = [spans for _, _, spans in texts]
            for (row, _, marks), encoding in zip(texts, self._encoder.encode(rendered, spans=spans), strict=True):
                if encoding.ids != row.ids:
                    yield Difference(row.row, "ids", self._show(row.ids, encoding.ids))
                elif (marked := encoding.inside(marks)) != row.trained:
                    yield Difference(row.row, "labels", self._show_labels(row, marked))
            return
        prompts = self._encoder.encode([prompt for _, _, prompt in texts])
        for (row, _, _), encoding, prompt in zip(texts, self._encoder.encode(rendered), prompts, strict=True):
            if self._to_the_end(encoding.ids) != self._to_the_end(row.ids):
                yield Difference(row.row, "ids", self._show(row.ids, encoding.ids))
            elif prompt.ids != row.ids[: len(row.ids) - row.answer]:
                yield Difference(row.row, "prompt", self._show(row.ids[: len(row.ids) - row.answer], prompt.ids))

    def _render(
        self, template: str, row: Encoded, messages: Any, *, masks: bool = False, prompt: bool = False
    ) -> tuple[str, list[tuple[int, int]]]:
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, spans = render_jinja_template(
            conversations=[messages],
            tools=row.tools,
            chat_template=template,
            return_assistant_tokens_mask=masks,
            add_generation_prompt=prompt,
            **self._tokenizer.special_tokens_map,
        )
        return texts[0], spans[0] if masks else []

    def _to_the_end(self, ids: list[int]) -> list[int]:
        """The ids up to the last stop token: a model never writes what some templates put behind it."""
        end = next((i for i in range(len(ids) - 1, -1, -1) if ids[i] in self._stops), len(ids) - 1)
        return ids[: end + 1]

    def _show(self, training: list[int], served: list[int]) -> tuple[str, ...]:
        """The first difference of two lists of ids, with some tokens around it."""
        pairs = zip(training, served, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(training), len(served)))
        start = max(at - 4, 0)
        return (
            f"the first difference is at token {at + 1} (training has {len(training)}, serving {len(served)}):",
            f"training: {self._tokens(training[start : at + 8], at - start)}",
            f"serving:  {self._tokens(served[start : at + 8], at - start)}",
        )

    def _show_labels(self, row: Encoded, marked: list[bool]) -> tuple[str, ...]:
        at = next(i for i, (a, b) in enumerate(zip(row.trained, marked, strict=True)) if a != b)
        what = "trained on, but not marked as the answer" if row.trained[at] else "in the answer, but not trained on"
        start = max(at - 4, 0)
        return (f"token {at + 1} is {what}:", f"  {self._tokens(row.ids[start : at + 8], at - start)}")

    def _tokens(self, ids: list[int], at: int) -> str:
        if at >= len(ids):
            return " ".join([*map(self._token, ids), "[nothing]"])
        return " ".join(f"[{self._token(i)}]" if n == at else self._token(i) for n, i in enumerate(ids))

    def _token(self, token_id: int) -> str:
        return f"{self._tokenizer.decode([token_id])!r}:{token_id}"
