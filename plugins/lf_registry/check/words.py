"""The sentences that the terminal and the HTML report share."""

from __future__ import annotations

import shlex

from .report import DatasetReport, Finding, Report


def plural(number: int, thing: str) -> str:
    """``1 row``, ``1,200 rows``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def rows_text(finding: Finding) -> str:
    """Which rows have a problem: ``rows 3, 17, 52 and 8 more``; empty when the problem is not about rows."""
    if not finding.rows:
        return plural(finding.count, "row") if finding.count > 1 else ""
    listed = ", ".join(str(row) for row in finding.rows)
    more = finding.count - len(finding.rows)
    return f"{'row' if len(finding.rows) == 1 and more <= 0 else 'rows'} {listed}" + (
        f" and {more:,} more" if more > 0 else ""
    )


def verdict(report: Report) -> str:
    """The result in a few words: ``2 errors, 1 warning``, ``no problems found``, and what is left unchecked."""
    counts = ((len(report.errors), "error"), (len(report.warnings), "warning"))
    text = ", ".join(plural(number, thing) for number, thing in counts if number) or "no problems found"
    if report.not_checked:
        text += f"; {len(report.not_checked)} not checked"
    return text


def next_command(report: Report) -> str:
    """The command to type next: train when nothing stops the run, else check again."""
    verb = "lf-registry check" if report.errors else "llamafactory-cli train"
    return f"{verb} {shlex.join([report.recipe, *report.overrides])}"


def percent(part: int, whole: int) -> str:
    """``12.3 %``; a share that is small but not zero never reads 0.0 %, and one that is not all never 100.0 %."""
    if not whole:
        return "0.0 %"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1 %"
    if 99.9 < share < 100:
        return "> 99.9 %"
    return f"{share:.1f} %"


def dataset_facts(dataset: DatasetReport, cutoff_len: int | None) -> list[tuple[str, str]]:
    """What there is to say about a dataset: (label, text), one line each."""
    dropped = dataset.rows - dataset.kept
    facts = [("rows", f"{dataset.rows:,}" + (f", {dataset.kept:,} kept, {dropped:,} dropped" if dropped else ""))]
    if dataset.rows and not dropped:
        facts[0] = ("rows", f"{dataset.rows:,}, all kept")
    if dataset.tokens is None:
        facts.append(("tokens", "not counted: there is no tokenizer"))
    else:
        facts.append(("tokens", f"{dataset.tokens:,}" + (" after the cut" if dataset.lost_tokens else "")))
        if dataset.trained_tokens is not None:
            share = percent(dataset.trained_tokens, dataset.tokens)
            label = "trained" if dataset.split == "train" else "scored"
            facts.append((label, f"{plural(dataset.trained_tokens, 'token')} ({share})"))
    if dataset.lengths is not None:
        facts += _length_facts(dataset, cutoff_len)
    copies = [(dataset.duplicates, "exact"), (dataset.near_duplicates, "nearly equal")]
    facts.append(("duplicates", ", ".join(f"{number:,} {kind}" for number, kind in copies if number) or "none"))
    return facts


def _length_facts(dataset: DatasetReport, cutoff_len: int | None) -> list[tuple[str, str]]:
    lengths = dataset.lengths
    assert lengths is not None
    numbers = (
        f"min {lengths.minimum:,}, median {lengths.median:,}, p95 {lengths.p95:,}, p99 {lengths.p99:,}, "
        f"max {lengths.maximum:,} tokens"
    )
    facts = [("lengths", numbers), ("cutoff_len", "not known" if cutoff_len is None else f"{cutoff_len:,}")]
    if not dataset.cut_rows:
        return [*facts, ("cut rows", "none")]
    cut = (
        f"{dataset.cut_rows:,} ({percent(dataset.cut_rows, dataset.kept)}), {plural(dataset.lost_tokens, 'token')} lost"
    )
    losses = [
        (dataset.lost_header, "the header of the answer"),
        (dataset.lost_eos, "the EOS token"),
    ]
    facts.append(("cut rows", cut))
    facts += [("", f"{plural(number, 'row')} without {what}") for number, what in losses if number]
    whole = f"cutoff_len={lengths.maximum} keeps every row whole"
    return [*facts, ("", whole + (f", {lengths.p99} keeps 99 %" if lengths.p99 < lengths.maximum else ""))]
