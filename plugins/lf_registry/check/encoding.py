"""One converted row through LLaMA-Factory's processor: its tokens, what the cut takes away, and what is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..hooks.encoder import Encoder
from ..hooks.pipeline import IGNORE_INDEX
from .chunk import Chunk
from .parity import Encoded, conversation
from .samples import sample

_MEDIA = ("_images", "_videos", "_audios")


class RowEncoding:
    """Encodes rows and counts their tokens into chunks."""

    def __init__(self, encoder: Encoder, stage: str) -> None:
        self._encoder, self._stage = encoder, stage
        self._stops = set(encoder.template.get_stop_token_ids(encoder.tokenizer))
        #: Some templates add one EOS behind the whole conversation, which no cut takes away.
        self._own_end = not encoder.template.efficient_eos

    def add(self, chunk: Chunk, number: int, row: Mapping[str, Any], preview: str | None) -> Encoded | None:
        """Encode a row and count it.

        Args:
            chunk: gets the figures and problems.
            number: the row.
            row: as the converter gave it.
            preview: the dataset's name when a sample is wanted.

        Returns:
            What is compared with the chat template, for supervised fine-tuning.
        """
        problems = chunk.problems
        try:
            made = self._encoder.encode(row)
        except Exception as error:  # whatever is in the row, a training would die of it
            problems.add("row-fails", number, f"{type(error).__name__}: {error}")
            return None
        if made is None:
            problems.add("dropped-row", number, "LLaMA-Factory's processor passes over it")
            return None
        chunk.kept += 1
        ids = made.get("input_ids") or made.get("chosen_input_ids") or []
        labels = made.get("labels") or made.get("chosen_labels") or []
        whole = len(ids)
        if self._stage == "pt":
            ids = ids if self._encoder.packs else ids[: self._encoder.cutoff_len]
            labels = ids  # the collator makes them: everything is trained on
            if len(ids) < whole:
                problems.add("cut-text", number)
        else:
            whole = max(whole, self._whole_length())
        chunk.whole.append(whole)
        chunk.lengths.append(len(ids))
        chunk.trained.append(len(labels) - labels.count(IGNORE_INDEX))
        if preview is not None and None not in ids:
            chunk.samples.append(sample(preview, number, ids, labels, self._encoder.tokenizer))
        if self._stage != "sft":
            return None
        if not chunk.trained[-1]:
            left = f"{sum(map(len, self._encoder.pairs[-1]))} tokens in the last turn, {len(ids)} left after the cut"
            problems.add("nothing-trained", number, left)
        for code in sorted(set(self._cuts())):
            problems.add(code, number)
        return self._uncut(chunk, number, row)

    def _whole_length(self) -> int:
        pairs = self._encoder.pairs if self._stage == "sft" else self._encoder.pairs[:1]
        if self._stage in ("ppo", "generate"):  # the model gets the prompt alone
            return len(pairs[0][0])
        return sum(len(part) for pair in pairs for part in pair) + (0 if self._own_end else 1)

    def _cuts(self) -> Iterator[str]:
        for (prompt, answer), kept in zip(self._encoder.pairs, self._encoder.cuts(), strict=True):
            if kept == (0, 0):
                yield "lost-turns"
                continue
            if kept[0] < len(prompt):
                yield "lost-header"
            if kept[1] < len(answer):
                yield "lost-eos" if self._own_end else "lost-end"

    def _uncut(self, chunk: Chunk, number: int, row: Mapping[str, Any]) -> Encoded | None:
        ids, labels = self._encoder.uncut(row)
        # An answer's end may have a newline behind the stop token, hardly more.
        if not any(label in self._stops for label in labels[-3:]):
            chunk.problems.add("eos-not-trained", number)
        if None in ids:  # a token of the template is not in the vocabulary, which is a finding of its own
            return None
        pairs = self._encoder.pairs
        prompt = sum(len(part) for pair in pairs for part in pair) - len(pairs[-1][1])
        trained = [label != IGNORE_INDEX for label in labels]
        return Encoded(number, *_conversation(row), ids, trained, len(ids) - prompt)


def _conversation(row: Mapping[str, Any]) -> tuple[list[dict[str, Any]] | None, list[Any] | None]:
    """As ``parity.conversation``; None where a chat template cannot say the same (broken tools, images, sound)."""
    if any(row.get(key) for key in _MEDIA):
        return None, None
    try:
        return conversation(row)
    except (ValueError, KeyError, TypeError):
        return None, None
