"""Ask both sides what has not been asked yet, and write each batch down as it comes."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from .answer_log import AnswerLog
from .api import Server, answers, first_tokens
from .batches import Batch
from .chat import Asked
from .decoding import Decoding
from .local import LocalModel
from .progress import progress
from .prompts import Prompt
from .sides import SIDES, Side


def in_batches(order: Sequence[int], done: Mapping[int, Any], decoding: Decoding) -> list[list[int]]:
    """What is left to ask, in the batches of the whole.

    Where random numbers are drawn for a whole batch, one that was cut off is asked again as a whole, so that a run that
    was interrupted ends with the same answers as one that was not.

    Args:
        order: the prompts' numbers; of like length together, the longest first (what does not fit shows at once).
        done: the numbers that have an answer.
        decoding: with the batch size.
    """
    size = decoding.batch_size
    whole = [list(order[i : i + size]) for i in range(0, len(order), size)]
    if decoding.temperature:
        return [batch for batch in whole if any(index not in done for index in batch)]
    left = [index for index in order if index not in done]
    return [left[i : i + size] for i in range(0, len(left), size)]


def ask_local(
    sides: Sequence[Side],
    asked: Mapping[str, Sequence[Asked]],
    log: AnswerLog,
    decoding: Decoding,
    *,
    dtype: str = "auto",
    trust: bool = False,
) -> list[str]:
    """Generate the answers that the log does not have yet, and score the references.

    The base of an adapter is loaded once, and the adapter switched off for it; two whole models are loaded one after
    the other. Nothing is loaded when nothing is left to do.

    Returns:
        Notes.

    Raises:
        UserError: a model cannot be loaded, or the memory is not enough.
    """
    work = {side.name: _left(asked[side.name], log, side.name, decoding) for side in sides}
    shared = sides[1].adapter is not None and sides[1].rows is None
    model: LocalModel | None = None
    notes: list[str] = []
    total = sum(len(batch) for batches, _ in work.values() for batch in batches)
    total += sum(len(scores) for _, scores in work.values())
    with progress(total) as advance:
        for side in sides:
            batches, unscored = work[side.name]
            if not batches and not unscored:
                continue
            fresh = model is None or not shared
            if fresh:
                model = None
                gc.collect()
                model = LocalModel(sides[1] if shared else side, dtype=dtype, trust=trust)
            notes += _too_long(side, asked[side.name], model, decoding)
            by_index = {one.index: one for one in asked[side.name]}
            if fresh and batches:  # what a model does once, at its first call, is nobody's speed
                list(model.answers(side, [[by_index[batches[-1][-1]]]], replace(decoding, max_new_tokens=2)))
            for batch in model.answers(side, [[by_index[i] for i in batch] for batch in batches], decoding):
                log.append(_entries(side.name, batch))
                advance(len(batch.answers), side.label)
            for scores in model.likelihoods(side, unscored):
                log.append(_scores(side.name, scores))
                advance(len(scores), side.label)
    return notes


def _left(asked: Sequence[Asked], log: AnswerLog, side: str, decoding: Decoding) -> tuple[list[list[int]], list[Asked]]:
    order = [one.index for one in sorted(asked, key=lambda one: (-len(one.ids), one.index))]
    scored = log.of("reference", side)
    return in_batches(order, log.of("answer", side), decoding), [
        one for one in asked if one.answer and one.index not in scored
    ]


def _too_long(side: Side, asked: Sequence[Asked], model: LocalModel, decoding: Decoding) -> list[str]:
    if model.context is None:
        return []
    longest = [one for one in asked if len(one.ids) + decoding.max_new_tokens > model.context]
    if not longest:
        return []
    return [
        f"{side.label}: {len(longest)} prompts and their answers may be longer than the {model.context:,} tokens that "
        "it was made for"
    ]


def ask_servers(servers: Sequence[Server], prompts: Sequence[Prompt], log: AnswerLog, decoding: Decoding) -> None:
    """Ask two servers (or two models of one) what the log does not have yet.

    Raises:
        UserError: a server does not answer, or refuses.
    """
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i].question), i))
    work = {side: in_batches(order, log.of("answer", side), decoding) for side in SIDES}
    with progress(sum(len(batch) for batches in work.values() for batch in batches)) as advance:
        for side, server in zip(SIDES, servers, strict=True):
            if work[side] and not any(entry["side"] == side for entry in log.timings):
                for seconds in first_tokens(server, prompts):
                    log.append([_timing(side, 0, 0, 0.0, seconds, None)])
            for batch in answers(server, prompts, work[side], decoding):
                log.append(_entries(side, batch))
                advance(len(batch.answers), server.model)


def _scores(side: str, scores: list[tuple[int, float, int]]) -> Iterator[dict[str, Any]]:
    """A likelihood that overflowed (16-bit weights can) is none: JSON has no infinity, and no mean survives one."""
    for index, nll, tokens in scores:
        value = nll if math.isfinite(nll) else None
        yield {"kind": "reference", "side": side, "index": index, "nll": value, "tokens": tokens}


def _entries(side: str, batch: Batch) -> Iterator[dict[str, Any]]:
    for answer in batch.answers:
        yield {"kind": "answer", "side": side, **asdict(answer)}
    tokens = sum(answer.tokens for answer in batch.answers)
    yield _timing(side, len(batch.answers), tokens, batch.seconds, batch.first_token_seconds, batch.peak_bytes)


def _timing(
    side: str, prompts: int, tokens: int, seconds: float, first: float | None, peak: int | None
) -> dict[str, Any]:
    return {
        "kind": "batch",
        "side": side,
        "prompts": prompts,
        "tokens": tokens,
        "seconds": round(seconds, 4),
        "first_token_seconds": None if first is None else round(first, 4),
        "peak_bytes": peak,
    }
