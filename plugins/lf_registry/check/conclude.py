"""From what was counted in a dataset to its findings, and what a reader has to know about its totals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..hooks.pipeline import Arguments
from .parity import Parity
from .report import DatasetReport, Finding, Report
from .summary import Summary
from .tokenizer import Tokens
from .words import plural

#: The problems that a stock template has with some conversations only, which then are a warning.
_SOME_ROWS = frozenset({"parity-ids", "parity-prompt", "parity-refused"})
_CUTS = ("lost-eos", "lost-end", "lost-header", "lost-turns", "nothing-trained", "cut-text")


def conclude(report: Report, summary: Summary, tokens: Tokens, arguments: Arguments, where: str) -> None:
    """Add a dataset's report and its findings."""
    dataset = summary.finish()
    report.datasets.append(dataset)
    report.add(
        summary.problems.findings(
            where, milder=_milder(summary, tokens), fixes=_fixes(report, dataset, summary, tokens)
        )
    )
    if dataset.kept == 0:
        what = "it has no rows" if dataset.rows == 0 else f"none of its {dataset.rows} rows is left to train on"
        report.add([Finding("error", "empty-dataset", where, what, "correct the rows, or add examples")])
    if summary.skipped:
        report.not_checked.append(
            f"{where}: {plural(summary.skipped, 'row')} with tools, images or sound not compared with the chat "
            "template, which writes them in a way of its own"
        )
    same = summary.compared - sum(summary.problems.count(f"parity-{kind}") for kind in Parity.KINDS)
    if summary.compared and same == summary.compared:
        what = "ids and labels" if tokens.ours else "ids"
        report.checked.append(f"{where}: training {what} equal the saved chat template in {_all(same)}")
    if arguments.stage not in ("sft", "generate") and tokens.template is not None:
        note = f"{where}: whether training equals serving is compared for stage: sft only"
        report.not_checked.append(note)


def _all(rows: int) -> str:
    return "its one row" if rows == 1 else f"all {rows:,} rows"


def _milder(summary: Summary, tokens: Tokens) -> frozenset[str]:
    """What is only a warning: differences in some rows of a stock template, and what is a guess."""
    if tokens.ours:
        return frozenset()
    some = {code for code in _SOME_ROWS if summary.problems.count(code) < summary.compared}
    return frozenset(some if tokens.named else some | {"eos-not-trained"})


def _fixes(report: Report, dataset: DatasetReport, summary: Summary, tokens: Tokens) -> dict[str, str]:
    fixes: dict[str, str] = {}
    if dataset.lengths and report.cutoff_len is not None:
        # With packing LLaMA-Factory takes one token off the recipe's value.
        asked = report.values.get("cutoff_len")
        extra = asked - report.cutoff_len if isinstance(asked, int) else 0
        most, usual = dataset.lengths.maximum + extra, dataset.lengths.p99 + extra
        keep = f"cutoff_len={most} keeps every row whole" + (f", {usual} keeps 99 %" if usual < most else "")
        fixes = dict.fromkeys(_CUTS, keep)
    if report.values.get("val_size") and dataset.split == "train":
        also = "delete them: val_size splits at random, so that one of the two may be evaluated on"
        fixes |= dict.fromkeys(("duplicate-rows", "near-duplicate-rows"), also)
    if not tokens.ours and 0 < summary.problems.count("parity-ids") < summary.compared:
        fixes["parity-ids"] = (
            "remove white space at the ends of the texts and control tokens inside them, or use a template of this "
            "registry, which treats both alike: lf-registry new persona NAME --extends TEMPLATE"
        )
    return fixes


def totals(report: Report, arguments: Arguments, attributes: dict[str, Any]) -> Iterator[str]:
    """Where the training takes other rows than those of the files, which are what was checked."""
    for name, entry in attributes.items():
        if entry.num_samples is not None:
            yield f"dataset {name}: all rows of the file are checked; the training draws {entry.num_samples} of them"
    data = arguments.data
    if data.mix_strategy != "concat" and len(attributes) > 1:
        yield f"mix_strategy {data.mix_strategy}: the totals are those of the files; the training mixes other numbers"


def one_tag(report: Report, key: str, tags: set[bool]) -> Iterator[Finding]:
    """Whether KTO gets answers of both kinds from all datasets of ``dataset:`` or ``eval_dataset:`` together."""
    if len(tags) == 1:
        kind, other = ("good", "bad") if True in tags else ("bad", "good")
        harm = (
            f"KTO learns by telling good answers from bad ones, and has nothing to tell these {kind} ones from"
            if key == "dataset"
            else "the evaluation has no rewards/margins, which shows whether the model tells them apart"
        )
        yield Finding(
            "warning",
            "one-kind-of-answer",
            f"{report.recipe}: {key}",
            f"all answers are marked as {kind} ones: {harm}; LLaMA-Factory says so in one line of its log and goes on",
            f"add rows with {other} answers (kto_tag {'false' if other == 'bad' else 'true'})"
            + (", or use `stage: sft`" if kind == "good" and key == "dataset" else ""),
        )


def held_out(report: Report, arguments: Arguments) -> Iterator[Finding]:
    """Whether ``val_size`` leaves something to train on."""
    size, rows = arguments.data.val_size, sum(dataset.rows for dataset in report.datasets if dataset.split == "train")
    taken = int(size) if size > 1 else size * rows
    if size > 1e-6 and rows and taken >= rows:
        yield Finding(
            "error",
            "val-size",
            f"{report.recipe}: val_size",
            f"holds out {int(taken)} rows of {rows}, so that nothing is left to train on",
            "write a share such as 0.1, or fewer rows",
        )
