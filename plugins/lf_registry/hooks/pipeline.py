"""LLaMA-Factory's own parser, tokenizer loader, template, converter and processor, opened for the check.

Nothing is re-implemented: a check that does not run the code that trains would see something else than the training.
"""

from __future__ import annotations

import os
import warnings
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

__all__ = ["IGNORE_INDEX", "TEMPLATES", "Arguments", "Template", "infer_seqlen", "loader"]

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
        stack.enter_context(warnings.catch_warnings(action="ignore"))
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

    def dataset(self, name: str) -> tuple[DatasetAttr, Any]:
        """Load a dataset as LLaMA-Factory does, but whole and with its rows as they stand in the file.

        Returns:
            (LLaMA-Factory's attributes, the ``datasets.Dataset``).
        """
        (attributes,) = get_dataset_list([name], self.data.dataset_dir)
        # A random part of the rows (num_samples) would give them other numbers in every run.
        whole = replace(attributes, num_samples=None)
        data = replace(self.data, streaming=False)
        with patch.object(loader, "align_dataset", lambda rows, *_: rows), _no_bars():
            return attributes, loader._load_single_dataset(whole, self.model, data, self.training)

    def converter(self, attributes: DatasetAttr) -> Any:
        """LLaMA-Factory's converter of one row to ``_prompt``, ``_response``, ``_system``, ``_tools``."""
        return get_dataset_converter(attributes.formatting, attributes, self.data)
