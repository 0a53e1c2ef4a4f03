"""The check of all datasets of a recipe, as the training will see them."""

from __future__ import annotations

import time
from typing import Any, Literal

from ..hooks.encoder import Encoder
from ..hooks.pipeline import Arguments
from ..recipes import names
from .chunk import Chunk
from .chunks import chunks
from .columns import column_findings, load_failure
from .conclude import conclude, held_out, one_tag, totals
from .duplicates import Seen
from .encoding import RowEncoding
from .parity import Parity
from .progress import progress
from .report import DatasetReport, Finding, Report
from .rows import RowCheck
from .summary import Summary
from .tally import Tally
from .texts import control_pattern
from .tokenizer import Tokens


def check_data(report: Report, *, workers: int | None = None, previews: int = 0) -> None:
    """Check every row of every dataset; adds to the report.

    Args:
        report: of a recipe whose data keys LLaMA-Factory accepts.
        workers: processes; None for one per core when there are many rows.
        previews: how many rows of the training data to show.
    """
    try:
        arguments = Arguments.parse(report.values)
    except (ValueError, TypeError) as error:
        report.not_checked.append(f"the template and the data: LLaMA-Factory does not accept the recipe: {error}")
        if not report.errors:
            report.add([Finding("error", "refused", report.recipe, str(error), "correct the recipe")])
        return
    report.cutoff_len = arguments.data.cutoff_len
    tokens = Tokens.load(arguments, report)
    check = _Check(report, arguments, tokens, workers, previews)
    check.split("train", "dataset")
    report.add(held_out(report, arguments))
    if report.values.get("predict_with_generate") is True:
        arguments.stage = "generate"
    check.split("eval", "eval_dataset")
    report.not_checked += totals(report, arguments, check.attributes)
    report.rows_per_second = check.rows / (time.perf_counter() - check.started) if check.rows else None


class _Check:
    """What goes on from one dataset to the next."""

    def __init__(
        self, report: Report, arguments: Arguments, tokens: Tokens, workers: int | None, previews: int
    ) -> None:
        self._report, self._arguments, self._tokens = report, arguments, tokens
        self._workers, self._previews = workers, previews
        self._training = Seen()
        self.attributes: dict[str, Any] = {}
        self.rows, self.started = 0, time.perf_counter()
        self._kto_tags: set[bool] = set()
        if previews and tokens.tokenizer is None:
            report.not_checked.append("the preview: it needs the tokenizer")

    def split(self, split: Literal["train", "eval"], key: str) -> None:
        """Check the datasets of ``dataset:`` or ``eval_dataset:``; LLaMA-Factory reads one that is named twice once."""
        seen = self._training if split == "train" else Seen()
        self._kto_tags = set()
        for name in dict.fromkeys(names(self._report.values.get(key))):
            self._dataset(name, split, seen)
        self._report.add(one_tag(self._report, key, self._kto_tags))

    def _dataset(self, name: str, split: Literal["train", "eval"], seen: Seen) -> None:
        report, where = self._report, f"dataset {name}"
        try:
            attributes, rows = self._arguments.dataset(name)
        except Exception as error:  # `datasets` and LLaMA-Factory raise many kinds; each means it cannot be read
            finding = load_failure(name, error, self._arguments.data.dataset_dir)
            report.add([finding]) if finding else report.not_checked.append(f"{where}: {error}")
            return
        self.attributes[name] = attributes
        wrong = list(column_findings(where, attributes, rows))
        report.add(wrong)
        if any(finding.severity == "error" for finding in wrong):
            return
        check = self._row_check(attributes)
        wanted = min(self._previews, len(rows)) if split == "train" else 0
        check.preview(name, frozenset(1 + i * len(rows) // wanted for i in range(wanted)))
        self._previews -= wanted
        summary = Summary(DatasetReport(name, split), tokenized=self._tokens.tokenizer is not None)
        for chunk in progress(chunks(check, rows, self._workers), len(rows), f"checking {name}"):
            self._repetitions(chunk, name, seen, summary.problems)
            summary.add(chunk)
            report.samples += chunk.samples
            self.rows += chunk.rows
            self._kto_tags |= chunk.kto_tags
        conclude(report, summary, self._tokens, self._arguments, where)

    def _row_check(self, attributes: Any) -> RowCheck:
        tokens, stage = self._tokens, self._arguments.stage
        encoding = parity = None
        if tokens.tokenizer is not None and tokens.template is not None:
            encoder = Encoder(self._arguments, tokens.template, tokens.tokenizer, tokens.processor)
            encoding = RowEncoding(encoder, stage)
            parity = Parity(tokens.template, tokens.tokenizer) if stage == "sft" else None
        pattern = control_pattern(tokens.control)
        return RowCheck(self._arguments.converter(attributes), attributes, encoding, parity, pattern, stage)

    def _repetitions(self, chunk: Chunk, name: str, seen: Seen, problems: Tally) -> None:
        """Compare the rows of a chunk with those before it, and evaluation rows with the training rows."""
        training = self._training if seen is not self._training else None
        for offset, key in enumerate(chunk.keys):
            if key is None:
                continue
            number = chunk.start + offset + 1
            signature = chunk.signatures[offset] if chunk.signatures is not None else None
            if earlier := seen.exact(key):
                problems.add("duplicate-rows", number, f"repeats {earlier}")
            elif signature is not None and (earlier := seen.near(key, signature)):
                problems.add("near-duplicate-rows", number, f"is nearly {earlier}")
            if training and (other := training.exact(key) or training.question(key)):
                problems.add("train-eval-overlap", number, f"asks the same as {other}")
            elif training and signature is not None and (other := training.near(key, signature)):
                problems.add("train-eval-overlap", number, f"is nearly {other}")
            seen.add(f"row {number} of {name}", key, signature)
