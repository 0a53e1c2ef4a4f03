"""Every prompt with both answers and everything that was measured on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .metrics import Metric
from .prompts import Prompt
from .sanity import flags
from .sides import AFTER, BEFORE, SIDES

#: What became of a prompt.
BETTER, WORSE, MIXED, SAME = "better", "worse", "mixed", "same"


@dataclass(frozen=True)
class Said:
    """One side's answer to one prompt.

    Attributes:
        text: the answer.
        tokens: how many; 0 when a server does not say.
        flags: what is wrong with it: keys of ``sanity.FLAGS``.
        values: metric -> its value; None where the metric cannot say anything.
        nll: negative log likelihood of the reference in nats; None when it was not measured.
        reference_tokens: the tokens of the reference.
    """

    text: str
    tokens: int
    flags: tuple[str, ...]
    values: dict[str, float | None]
    nll: float | None = None
    reference_tokens: int = 0


@dataclass
class Row:
    """One prompt before and after.

    Attributes:
        prompt: what was asked.
        said: side -> answer.
        won, lost: the metrics (and ``sanity.FLAGS``) on which after is better, worse.
        flips: those of them that are right or wrong, and changed.
        judged: 1, 0.5 or 0 for after, by ``judge``; None without one.
    """

    prompt: Prompt
    said: dict[str, Said]
    won: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    flips: list[str] = field(default_factory=list)
    judged: float | None = None

    @property
    def change(self) -> str:
        """What became of this prompt."""
        return MIXED if self.won and self.lost else BETTER if self.won else WORSE if self.lost else SAME

    def values(self, metrics: Sequence[Metric], side: str) -> dict[str, float | None]:
        """How good one side's answer is by itself: metric -> value."""
        values = self.said[side].values
        return {m.name: None if (value := values[m.name]) is None else m.row(value) for m in metrics}

    def as_json(self, metrics: Sequence[Metric]) -> dict[str, Any]:
        """The line of ``answers.jsonl``; ``prompt``, ``before`` and ``after`` are what a model card shows."""
        before, after = self.said[BEFORE], self.said[AFTER]
        messages = list(self.prompt.messages)
        return {
            "prompt": self.prompt.question,
            "before": before.text,
            "after": after.text,
            "reference": self.prompt.reference,
            "dataset": self.prompt.source,
            "row": self.prompt.row,
            "change": self.change,
            "metrics": {side: self.values(metrics, side) for side in SIDES},
            "flags": {side: list(self.said[side].flags) for side in SIDES},
            "tokens": {side: self.said[side].tokens for side in SIDES},
        } | self._more(messages)

    def _more(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        likelihood = {s: {"nll": self.said[s].nll, "tokens": self.said[s].reference_tokens} for s in SIDES}
        more: dict[str, Any] = {"messages": messages} if len(messages) > 1 else {}
        more |= {"reference_likelihood": likelihood} if self.said[AFTER].nll is not None else {}
        return more | ({"judge": self.judged} if self.judged is not None else {})


def make_rows(
    prompts: Sequence[Prompt],
    answers: Mapping[str, Mapping[int, Mapping[str, Any]]],
    references: Mapping[str, Mapping[int, Mapping[str, Any]]],
    systems: Mapping[str, Sequence[str]],
    metrics: Sequence[Metric],
    judged: Sequence[float | None] = (),
) -> list[Row]:
    """Put everything together.

    Args:
        prompts: all of them.
        answers: side -> prompt's number -> what the log has.
        references: the same for the likelihoods; may be empty.
        systems: side -> what stood in front of each conversation.
        metrics: what to measure.
        judged: ``judge``'s values, or nothing.

    Raises:
        UserError: the references are not what a metric needs.
    """
    known = [prompt.reference for prompt in prompts if prompt.reference is not None]
    scores = [(metric, metric.prepare(known)) for metric in metrics]
    rows = []
    for i, prompt in enumerate(prompts):
        said = {}
        for side in SIDES:
            entry, scored = answers[side][i], references.get(side, {}).get(i, {})
            values = {
                metric.name: None if prompt.reference is None else score(entry["text"], prompt.reference)
                for metric, score in scores
            }
            wrong = flags(entry["text"], stopped=entry["stopped"], system=systems[side][i])
            nll = scored.get("nll")
            said[side] = Said(entry["text"], entry["tokens"], tuple(wrong), values, nll, scored.get("tokens", 0))
        row = Row(prompt, said, judged=judged[i] if judged else None)
        _changes(row, metrics)
        rows.append(row)
    return rows


def _changes(row: Row, metrics: Sequence[Metric]) -> None:
    before, after = row.said[BEFORE], row.said[AFTER]
    for metric in metrics:
        old, new = before.values[metric.name], after.values[metric.name]
        if old is None or new is None:
            continue
        old, new = metric.row(old), metric.row(new)
        if abs(new - old) > 1e-9 * max(1.0, abs(old)):
            (row.won if (new > old) == metric.higher else row.lost).append(metric.name)
            if metric.outcome:
                row.flips.append(metric.name)
    gone, come = set(before.flags) - set(after.flags), set(after.flags) - set(before.flags)
    row.won += sorted(gone)
    row.lost += sorted(come)
    row.flips += sorted(gone | come)
    if row.judged is not None and row.judged != 0.5:
        (row.won if row.judged > 0.5 else row.lost).append("judge")
