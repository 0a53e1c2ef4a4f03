"""The check of all datasets of a recipe, as the training will see them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from ..hooks.pipeline import Arguments, Encoder
from ..recipes import names
from .chunk import Chunk
from .columns import column_findings, load_failure
from .duplicates import MOST_NEAR, Seen
from .parity import Parity
from .progress import progress
from .report import DatasetReport, Finding, Report
from .rows import RowCheck
from .summary import Summary
from .tally import Tally
from .texts import control_pattern
from .tokenizer import Tokens

#: Rows that are looked at together: enough for a batch to be tokenized on all cores, little in memory.
_CHUNK = 500
#: From so many rows on, several processes are worth starting.
_MANY_ROWS = 2000
_MOST_PROCESSES = 8
#: The problems that a stock template has with some conversations only, which then are a warning.
_SOME_ROWS = frozenset({"parity-ids", "parity-prompt", "parity-refused"})


def check_data(report: Report, *, workers: int | None = None, previews: int = 0) -> None:
    """Check every row of every dataset; adds to the report.

    Args:
        report: of a recipe whose data keys LLaMA-Factory accepts.
        workers: processes; None for one per core when there are many rows.
        previews: how many rows of the training data to show.
    """
    arguments = Arguments.parse(report.values)
    report.cutoff_len = arguments.data.cutoff_len
    tokens = Tokens.load(arguments, report)
    started, checked = time.perf_counter(), 0
    seen = Seen()
    for split, key in (("train", "dataset"), ("eval", "eval_dataset")):
        here = Seen() if split == "eval" else seen
        for name in names(report.values.get(key)):
            where = f"dataset {name}"
            try:
                ((_, attributes, rows),) = arguments.datasets([name])
            except Exception as error:  # `datasets` and LLaMA-Factory raise many kinds; each means it cannot be read
                finding = load_failure(name, error, arguments.data.dataset_dir)
                report.add([finding]) if finding else report.not_checked.append(f"{where}: {error}")
                continue
            wrong = list(column_findings(where, attributes, rows))
            report.add(wrong)
            if any(finding.severity == "error" for finding in wrong):
                continue
            check = _row_check(arguments, attributes, tokens)
            wanted = previews if split == "train" else 0
            check.preview(name, frozenset(1 + i * len(rows) // wanted for i in range(min(wanted, len(rows)))))
            summary = Summary(DatasetReport(name, split))  # type: ignore[arg-type]
            for chunk in progress(_chunks(check, rows, workers), len(rows), f"checking {name}"):
                _repetitions(chunk, name, here, seen if split == "eval" else None, summary.problems)
                summary.add(chunk)
                report.samples += chunk.samples
                checked += chunk.rows
            _conclude(report, summary, tokens, where)
            previews -= len(check.previews)
    report.rows_per_second = checked / (time.perf_counter() - started) if checked else None


def _row_check(arguments: Arguments, attributes: Any, tokens: Tokens) -> RowCheck:
    encoder = parity = None
    if tokens.tokenizer is not None and tokens.template is not None:
        encoder = Encoder(arguments, tokens.template, tokens.tokenizer, tokens.processor)
        parity = Parity(tokens.template, tokens.tokenizer) if arguments.stage == "sft" else None
    columns = {"response": attributes.response, "messages": attributes.messages}
    if attributes.formatting == "alpaca":
        columns["messages"] = None
    pattern = control_pattern(tokens.control)
    return RowCheck(arguments.converter(attributes), encoder, parity, pattern, columns, arguments.stage)


def _chunks(check: RowCheck, rows: Any, workers: int | None) -> Iterator[Chunk]:
    if workers is None:
        workers = 1 if len(rows) < _MANY_ROWS else min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    ranges = [(start, min(start + _CHUNK, len(rows))) for start in range(0, len(rows), _CHUNK)]
    run = partial(_run, check, rows)
    if workers <= 1 or len(ranges) <= 1:
        yield from map(run, ranges)
        return
    import multiprocessing

    # Forked, so that what took seconds to import and load is there already.
    with multiprocessing.get_context("fork").Pool(workers, _start_worker, (run,)) as pool:
        yield from pool.imap(_run_in_worker, ranges)


def _run(check: RowCheck, rows: Any, span: tuple[int, int]) -> Chunk:
    return check.check(rows, *span, near=span[0] < MOST_NEAR)


_worker: Any = None


def _start_worker(run: Any) -> None:
    global _worker  # noqa: PLW0603, a pool's worker has no other place for what it was started with
    _worker = run
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers are the parallelism


def _run_in_worker(span: tuple[int, int]) -> Chunk:
    return _worker(span)


def _repetitions(chunk: Chunk, name: str, here: Seen, training: Seen | None, problems: Tally) -> None:
    """Compare the rows of a chunk with those before it, and evaluation rows with the training rows."""
    for offset, (text, question) in enumerate(chunk.texts):
        if not text:
            continue
        number = chunk.start + offset + 1
        signature = chunk.signatures[offset] if chunk.signatures is not None else None
        if earlier := here.exact(text):
            problems.add("duplicate-rows", number, f"repeats {earlier}")
        elif signature is not None and (earlier := here.near(signature)):
            problems.add("near-duplicate-rows", number, f"is nearly {earlier}")
        if training and (other := training.exact(text) or training.question(question)):
            problems.add("train-eval-overlap", number, f"asks the same as {other}")
        elif training and signature is not None and (other := training.near(signature)):
            problems.add("train-eval-overlap", number, f"is nearly {other}")
        here.add(f"row {number} of {name}", text, question, signature)


def _conclude(report: Report, summary: Summary, tokens: Tokens, where: str) -> None:
    """Turn what was counted into the dataset's report and its findings."""
    dataset = summary.finish()
    report.datasets.append(dataset)
    milder = frozenset()
    if not tokens.ours:
        milder = frozenset(code for code in _SOME_ROWS if summary.problems.count(code) < summary.compared)
    fixes = {}
    if dataset.lengths:
        keep = f"cutoff_len={dataset.lengths.maximum} keeps every row whole, {dataset.lengths.p99} keeps 99 %"
        fixes = dict.fromkeys(("lost-eos", "lost-header", "lost-turns", "nothing-trained"), keep)
    if report.values.get("val_size") and dataset.split == "train":
        also = "delete them: val_size splits at random, so that one of the two may be evaluated on"
        fixes |= dict.fromkeys(("duplicate-rows", "near-duplicate-rows"), also)
    report.add(summary.problems.findings(where, milder=milder, fixes=fixes))
    if dataset.rows == 0 or (dataset.kept == 0 and not summary.problems.entries):
        report.add([Finding("error", "empty-dataset", where, "has no row to train on", "add examples to it")])
    if summary.skipped:
        report.not_checked.append(
            f"{where}: {summary.skipped} rows with tools were not compared with the chat template, which writes tools "
            "in a way of its own"
        )
    same = summary.compared - sum(summary.problems.count(f"parity-{kind}") for kind in Parity.KINDS)
    if summary.compared and same == summary.compared:
        what = "ids and labels" if tokens.ours else "ids"
        report.checked.append(f"{where}: training {what} equal the saved chat template in all {same} rows")
