"""What came out, in numbers and sentences: ``summary.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .answer_log import AnswerLog
from .metrics import METRICS, Metric
from .overfit import over_fitting, repeated
from .rows import BETTER, MIXED, SAME, WORSE, Row
from .sentences import metric_sentence, perplexity_sentence, sanity_sentences, speed_sentence
from .sides import AFTER, BEFORE
from .summary import judged, measured, perplexity, sanity, speed


def summarize(
    rows: Sequence[Row],
    metrics: Sequence[Metric],
    log: AnswerLog,
    *,
    about: Mapping[str, Any],
    settings: Mapping[str, Any],
    notes: Sequence[str],
    models: Mapping[str, Any] | None = None,
    train: Sequence[str] = (),
    held_out: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything that ``summary.json`` holds, and the report shows.

    Where training and held-out prompts were both asked, the metrics and the perplexity are those of the held-out ones:
    with prompts among them that were learned by heart they would flatter the model.

    Args:
        rows: every prompt with both answers.
        metrics: what was measured.
        log: for the timings.
        about, settings: of the models and of the generation.
        notes: what the user should know.
        models: which ones answered: ``Asking.models``.
        train, held_out: datasets whose gap is looked at.
    """
    seen = [row for row in rows if row.prompt.source in train]
    new = [row for row in rows if row.prompt.source in held_out]
    judging = new if seen and new else rows
    summary: dict[str, Any] = {
        "format": 1,
        "base": about["base"],
        "tuned": about["tuned"],
        **(models or {}),
        "prompts": len(rows),
        "datasets": _datasets(rows, metrics),
        "changed": {change: sum(row.change == change for row in rows) for change in (BETTER, WORSE, MIXED, SAME)},
        "equal_answers": sum(row.said[BEFORE].text == row.said[AFTER].text for row in rows),
        "flips": sum(bool(row.flips) for row in rows),
        "measured_on": {"prompts": len(judging), "held_out": judging is new},
        "metrics": {},
        "perplexity": perplexity(judging),
        "sanity": sanity(rows),
        "speed": speed(log),
    }
    which = "held-out prompts" if judging is new else "prompts"
    sentences = [_equal(summary)]
    results = [(metric.name, measured(judging, metric)) for metric in metrics] + [("judge", judged(judging))]
    for name, result in results:
        if result is not None:
            summary["metrics"][name] = result.as_json()
            sentences.append(metric_sentence(name, result, which))
    if summary["perplexity"]:
        sentences.append(perplexity_sentence(summary["perplexity"], which))
    sentences += sanity_sentences(summary["sanity"], len(rows), settings.get("max_new_tokens"))
    notes = [*notes, *_left_out(metrics, dict(results)), *_overflows(rows)]
    summary["over_fitting"] = _over_fitting(seen, new, metrics, train, held_out)
    if summary["over_fitting"]:
        sentences += summary["over_fitting"]["sentences"]
    fast = speed_sentence(summary["speed"])
    summary["sentences"] = sentences + ([fast] if fast else [])
    summary["notes"] = notes
    summary["settings"] = {**about, **settings}
    return summary


def worse(summary: Mapping[str, Any]) -> list[str]:
    """The metrics of a summary that got worse by more than noise."""
    found = []
    for name, values in summary["metrics"].items():
        higher = METRICS[name].higher if name in METRICS else True
        if values["more_than_noise"] and (values["difference"] < 0) == higher:
            found.append(name)
    return found


def _equal(summary: Mapping[str, Any]) -> str:
    equal, prompts = summary["equal_answers"], summary["prompts"]
    if equal == prompts:
        return f"Both give the same answer to all {prompts} prompts: nothing changed."
    return f"The answers to {prompts - equal} of {prompts} prompts changed."


def _datasets(rows: Sequence[Row], metrics: Sequence[Metric]) -> dict[str, Any]:
    """Each dataset by itself."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(row.prompt.source for row in rows):
        own = [row for row in rows if row.prompt.source == name]
        results = {metric.name: measured(own, metric) for metric in metrics}
        found[name] = {
            "prompts": len(own),
            "metrics": {metric: result.as_json() for metric, result in results.items() if result is not None},
            "perplexity": perplexity(own),
        }
    return found


def _left_out(metrics: Sequence[Metric], results: Mapping[str, Any]) -> list[str]:
    notes = []
    for metric in metrics:
        result = results[metric.name]
        if result is None:
            notes.append(f"{metric.name}: could be measured on no prompt")
        elif result.left_out:
            notes.append(
                f"{metric.name}: {result.left_out} prompts are left out, because a number or a reference is missing"
            )
    return notes


def _overflows(rows: Sequence[Row]) -> list[str]:
    lost = sum(any(said.reference_tokens and said.nll is None for said in row.said.values()) for row in rows)
    if not lost:
        return []
    return [f"perplexity: {lost} prompts are left out, because their likelihood is not finite: --dtype float32"]


def _over_fitting(
    seen: Sequence[Row], new: Sequence[Row], metrics: Sequence[Metric], train: Sequence[str], held_out: Sequence[str]
) -> dict[str, Any] | None:
    """What a comparison on training and held-out prompts says; None when both were not named."""
    if not seen or not new:
        return None
    comparisons = over_fitting(seen, new, metrics)
    both = repeated(seen, new)
    lines = [entry["sentence"] for entry in comparisons]
    if both:
        lines.append(
            f"{both} of {len(new)} held-out prompts are among the training prompts too: they hold nothing out."
        )
    return {
        "train": list(train),
        "held_out": list(held_out),
        "repeated_prompts": both,
        "comparisons": comparisons,
        "sentences": lines,
    }
