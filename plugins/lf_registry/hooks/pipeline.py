"""LLaMA-Factory's own parser, tokenizer loader, template, converter and processor, opened for the check.

Nothing is re-implemented: a check that does not run the code that trains would see something else than the training.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from typing import Any
from unittest.mock import PropertyMock, patch

# What the two say while they load is for a training's log; the check has its own words. The environment is given back,
# because a process that is started from here may be a training.
_LEVELS = {"LLAMAFACTORY_VERBOSITY": "ERROR", "TRANSFORMERS_VERBOSITY": "error"}
_QUIET = {name: os.environ.get(name, level) for name, level in _LEVELS.items()}
with patch.dict(os.environ, _QUIET):
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from llamafactory.data import loader
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import DatasetAttr, get_dataset_list
    from llamafactory.data.processor.processor_utils import infer_seqlen
    from llamafactory.data.template import TEMPLATES, Template, get_template_and_fix_tokenizer
    from llamafactory.extras.constants import IGNORE_INDEX
    from llamafactory.hparams import parser
    from transformers.training_args import ParallelMode

__all__ = ["IGNORE_INDEX", "TEMPLATES", "Arguments", "Encoder", "Template", "infer_seqlen"]

#: Keys that decide what the data check sees; the others cannot keep it from running.
_DATA_KEYS = frozenset(item.name for item in fields(parser.DataArguments)) | {
    "adapter_name_or_path",
    "add_special_tokens",
    "add_tokens",
    "cache_dir",
    "hf_hub_token",
    "model_name_or_path",
    "model_revision",
    "resize_vocab",
    "reward_model",
    "reward_model_type",
    "seed",
    "split_special_tokens",
    "stage",
    "trust_remote_code",
    "use_fast_tokenizer",
}


@contextmanager
def _any_machine() -> Iterator[None]:
    """Let LLaMA-Factory parse a recipe for a GPU on a machine that has none, as one process of several would."""
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, _QUIET))
        for module in ("transformers.training_args", parser.__name__):
            stack.enter_context(patch(f"{module}.is_torch_bf16_gpu_available", return_value=True))
        mode = PropertyMock(return_value=ParallelMode.DISTRIBUTED)
        stack.enter_context(patch.object(parser.TrainingArguments, "parallel_mode", mode))
        yield


@contextmanager
def _no_bars() -> Iterator[None]:
    """No progress bars of the ``datasets`` library, which shows them in a log file too."""
    hidden = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            enable_progress_bars()


def refusal(values: Mapping[str, Any]) -> str | None:
    """Why LLaMA-Factory will not start with these keys, in its own words; None when it will."""
    # Its parser looks for checkpoints in the output folder and logs through the training arguments; both are harmless.
    try:
        with _any_machine():
            parser.get_train_args(dict(values))
    except (ValueError, TypeError, ImportError, KeyError, OSError, AttributeError) as error:
        return f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
    return None


@dataclass
class Arguments:
    """The parsed arguments that decide what data and template a training sees.

    Attributes:
        model, data, training: LLaMA-Factory's ``ModelArguments``, ``DataArguments``, ``TrainingArguments``.
        stage: which processor prepares the rows: ``sft``, ``pt``, ``rm`` (``dpo`` too), ``ppo``, ``kto``, or
            ``generate`` for the questions of ``predict_with_generate``.
    """

    model: Any
    data: Any
    training: Any
    stage: str

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Arguments:
        """Parse the keys that matter for data; a mistake in another key does not keep the data from being checked.

        Raises:
            ValueError, TypeError: LLaMA-Factory does not accept them.
        """
        chosen = {key: value for key, value in values.items() if key in _DATA_KEYS}
        with _any_machine():
            model, data, training, finetuning, _ = parser._parse_train_args(chosen | {"output_dir": "unused"})
        # What `get_train_args` does to these two at its end.
        model.model_max_length = data.cutoff_len
        data.packing = data.packing if data.packing is not None else finetuning.stage == "pt"
        # As in `train/dpo/workflow.py`: preference data is prepared like a reward model's.
        return cls(model, data, training, {"dpo": "rm"}.get(finetuning.stage, finetuning.stage))

    def tokenizer(self) -> tuple[Any, Any]:
        """(tokenizer, processor or None) as LLaMA-Factory loads them, before the template adds its tokens.

        Raises:
            OSError, ValueError: the tokenizer cannot be loaded.
        """
        from llamafactory.model import load_tokenizer

        loaded = load_tokenizer(self.model)
        return loaded["tokenizer"], loaded["processor"]

    def fix(self, tokenizer: Any) -> Template:
        """The template; gives the tokenizer its stop tokens and the chat template that is saved with the model."""
        # LLaMA-Factory writes the recipe's default_system into the template that everything in the process shares.
        name = self.data.template
        with patch.dict(TEMPLATES, {name: deepcopy(TEMPLATES[name])} if name in TEMPLATES else {}):
            return get_template_and_fix_tokenizer(tokenizer, self.data)

    def datasets(self, names: list[str]) -> Iterator[tuple[str, DatasetAttr, Any]]:
        """Load each dataset as LLaMA-Factory does, but whole and with its rows as they stand in the file.

        Yields:
            (name, LLaMA-Factory's attributes, the ``datasets.Dataset``).
        """
        for name, attributes in zip(names, get_dataset_list(names, self.data.dataset_dir), strict=True):
            # A random part of the rows (num_samples) would give them other numbers in every run.
            whole = replace(attributes, num_samples=None)
            data = replace(self.data, streaming=False)
            with patch.object(loader, "align_dataset", lambda rows, *_: rows), _no_bars():
                rows = loader._load_single_dataset(whole, self.model, data, self.training)
            yield name, attributes, rows

    def converter(self, attributes: DatasetAttr) -> Any:
        """LLaMA-Factory's converter of one row to ``_prompt``, ``_response``, ``_system``, ``_tools``."""
        return get_dataset_converter(attributes.formatting, attributes, self.data)


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
