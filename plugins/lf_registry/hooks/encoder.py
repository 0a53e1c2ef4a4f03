"""LLaMA-Factory's dataset processor, one row at a time, with what it encoded before it cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .pipeline import Arguments, Template, infer_seqlen, loader


class _Recorder:
    """A template that remembers what it encoded, and gives it again without tokenizing twice."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self.pairs: list[tuple[list[int], list[int]]] = []
        self.again = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._template, name)

    def encode_multiturn(self, *arguments: Any) -> list[tuple[list[int], list[int]]]:
        if not self.again:
            self.pairs = self._template.encode_multiturn(*arguments)
        return list(self.pairs)

    def encode_oneturn(self, *arguments: Any) -> tuple[list[int], list[int]]:
        prompt, answer = self._template.encode_oneturn(*arguments)
        self.pairs.append((prompt, answer))
        return prompt, answer


class Encoder:
    """LLaMA-Factory's dataset processor, one row at a time."""

    def __init__(self, arguments: Arguments, template: Template, tokenizer: Any, processor: Any = None) -> None:
        self.template, self.tokenizer = template, tokenizer
        self._recorder = _Recorder(template)
        self._made: dict[str, list[int]] | None = None
        # Packing puts whole rows together after each was encoded alone; the rows are what is looked at here.
        self._data = replace(arguments.data, packing=False, neat_packing=False, streaming=False)
        self._every_answer = not (self._data.mask_history or self._data.train_on_prompt)
        self.packs, self.cutoff_len = bool(arguments.data.packing), arguments.data.cutoff_len
        if arguments.stage == "pt":
            self._data.cutoff_len = 10**9  # cut by the caller, who wants to know what was cut
        whole = replace(self._data, cutoff_len=10**9, mask_history=False, train_on_prompt=False)
        self._processor, self._whole = (
            loader._get_dataset_processor(
                data,
                "sft" if arguments.stage == "generate" else arguments.stage,
                self._recorder,
                tokenizer,
                processor,
                do_generate=arguments.stage == "generate",
            )
            for data in (self._data, whole)
        )

    @property
    def pairs(self) -> list[tuple[list[int], list[int]]]:
        """(prompt ids, answer ids) of the row encoded last, before the cut."""
        return self._recorder.pairs

    def encode(self, row: Mapping[str, Any]) -> dict[str, list[int]] | None:
        """What LLaMA-Factory makes of one converted row: ``input_ids``, ``labels``, ...; None when it drops the row."""
        self._recorder.pairs, self._recorder.again = [], False
        made = self._processor.preprocess_dataset({key: [value] for key, value in row.items()})
        self._made = {key: values[0] for key, values in made.items()} if made else None
        return self._made

    def uncut(self, row: Mapping[str, Any]) -> tuple[list[int], list[int]]:
        """(input ids, labels) of the row encoded last, without a cut and with every answer trained on."""
        whole = sum(len(part) for pair in self.pairs for part in pair) + (1 if self.template.efficient_eos else 0)
        if self._every_answer and self._made and len(self._made["input_ids"]) == whole:
            return self._made["input_ids"], self._made["labels"]
        self._recorder.again = True
        made = self._whole.preprocess_dataset({key: [value] for key, value in row.items()})
        return made["input_ids"][0], made["labels"][0]

    def cuts(self) -> list[tuple[int, int]]:
        """(kept prompt tokens, kept answer tokens) of every turn of the row encoded last.

        The loop of ``SupervisedDatasetProcessor._encode_data_example``, which keeps only the sum.
        """
        pairs = self.pairs[::-1] if self._data.mask_history else self.pairs
        total = 1 if self.template.efficient_eos else 0
        kept = []
        for prompt, answer in pairs:
            room = self._data.cutoff_len - total
            kept.append(infer_seqlen(len(prompt), len(answer), room) if room > 0 else (0, 0))
            total += sum(kept[-1])
        return kept[::-1] if self._data.mask_history else kept
