"""The numbers over all prompts, as ``summary.json`` has them."""

from __future__ import annotations

import math
import statistics as standard
from collections.abc import Sequence
from typing import Any

from .answer_log import AnswerLog
from .metrics import Metric
from .rows import Row
from .sanity import FLAGS, hangul_share
from .sides import AFTER, BEFORE, SIDES
from .statistics import Paired, paired


def sanity(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Per side: how many answers have each flag, the share of Hangul, and lengths in characters."""
    found: dict[str, dict[str, Any]] = {}
    for side in SIDES:
        said = [row.said[side] for row in rows]
        lengths = [len(one.text.strip()) for one in said]
        counts: dict[str, Any] = {flag: sum(flag in one.flags for one in said) for flag in FLAGS}
        share = hangul_share(one.text for one in said)
        found[side] = counts | {
            "hangul_share": None if share is None else round(share, 4),
            "median_characters": standard.median(lengths),
            "longest_characters": max(lengths),
        }
    found["reference"] = {"hangul_share": hangul_share(row.prompt.reference or "" for row in rows)}
    return found


def measured(rows: Sequence[Row], metric: Metric) -> Paired | None:
    """One metric before and after."""
    before, after = ([row.said[side].values[metric.name] for row in rows] for side in SIDES)
    return paired(before, after, total=metric.total, higher=metric.higher, row=metric.row)


def judged(rows: Sequence[Row]) -> Paired | None:
    """The judge's verdicts as a metric: the share of prompts on which each side is better, a tie counted for half."""
    values = [row.judged for row in rows]
    return paired([None if value is None else 1 - value for value in values], values)


def per_character(rows: Sequence[Row]) -> bool:
    """Whether likelihoods are taken per character: both sides cut the references into other numbers of tokens."""
    return any(row.said[BEFORE].reference_tokens != row.said[AFTER].reference_tokens for row in rows)


def likelihoods(rows: Sequence[Row], side: str, *, characters: bool) -> list[float | None]:
    """Each reference's mean negative log likelihood, in nats per token or per character; None where there is none."""
    values: list[float | None] = []
    for row in rows:
        said = row.said[side]
        units = len(row.prompt.reference or "") if characters else said.reference_tokens
        values.append(None if said.nll is None or not units else said.nll / units)
    return values


def perplexity(rows: Sequence[Row]) -> dict[str, Any] | None:
    """The perplexity of the references before and after; None when it was not measured.

    exp of the negative log likelihood of all references by all their tokens (those that end them included); wins,
    losses and the interval are of the references' means, in nats.
    """
    characters = per_character(rows)
    result = paired(*(likelihoods(rows, side, characters=characters) for side in SIDES), higher=False)
    if result is None:
        return None
    totals = {}
    for side in SIDES:
        scored = [row for row in rows if row.said[BEFORE].nll is not None and row.said[AFTER].nll is not None]
        units = sum(
            len(row.prompt.reference or "") if characters else row.said[side].reference_tokens for row in scored
        )
        totals[side] = math.exp(min(sum(row.said[side].nll or 0.0 for row in scored) / max(units, 1), 700.0))
    return totals | {
        "unit": "character" if characters else "token",
        "mean_log_likelihood": result.as_json(),
        "more_than_noise": result.more_than_noise,
    }


def speed(log: AnswerLog) -> dict[str, dict[str, Any]]:
    """Per side: tokens a second in the batches as they were, median time to the first token, most memory."""
    found = {}
    for side in SIDES:
        batches = [entry for entry in log.timings if entry["side"] == side]
        seconds = sum(entry["seconds"] for entry in batches)
        tokens = sum(entry["tokens"] for entry in batches)
        first = [entry["first_token_seconds"] for entry in batches if entry["first_token_seconds"] is not None]
        peak = [entry["peak_bytes"] for entry in batches if entry["peak_bytes"] is not None]
        found[side] = {
            "tokens": tokens,
            "tokens_per_second": round(tokens / seconds, 2) if seconds and tokens else None,
            "first_token_seconds": round(standard.median(first), 4) if first else None,
            "peak_bytes": max(peak) if peak else None,
            "batch": max((entry["prompts"] for entry in batches), default=0),
        }
    return found
