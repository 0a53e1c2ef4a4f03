"""How good an answer is, measured against its reference: one number per answer, and one for all of them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import UserError, WrongUsage, did_you_mean
from .amounts import amount
from .labels import Labels, is_right, macro_f1

if TYPE_CHECKING:
    import numpy as np

#: Turns references into what scores one (answer, reference); None: it cannot say anything.
Prepare = Callable[[Sequence[str]], Callable[[str, str], float | None]]


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: what is typed behind ``--metric``.
        about: one line for the help and the report.
        prepare: makes the function that scores one answer.
        higher: whether more is better.
        total: from the answers' values (last axis) to the number for all of them; the mean when None.
        row: from an answer's value to the number that says how good this answer is by itself.
        outcome: whether a value of 1 is right and 0 wrong, so that an answer can flip.
        unit: ``share`` (0 to 1), ``number``.
    """

    name: str
    about: str
    prepare: Prepare
    higher: bool = True
    total: Callable[[np.ndarray], np.ndarray] | None = None
    row: Callable[[float], float] = float
    outcome: bool = False
    unit: str = "share"


def normalize(text: str) -> str:
    """What ``exact_match`` and ``f1`` compare: NFC, runs of white space as one space, none at the edges.

    Nothing else is taken away: punctuation, particles (``서울은`` is not ``서울``), upper and lower case all count.
    KorQuAD's own script removes punctuation and does not count spaces, so its numbers are higher.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def exact_match(answer: str, reference: str) -> float:
    """1 when both are equal after ``normalize``, else 0."""
    return float(normalize(answer) == normalize(reference))


def character_f1(answer: str, reference: str) -> float:
    """The harmonic mean of precision and recall over characters, each counted as often as it stands there.

    Source: Rajpurkar et al. 2016 (SQuAD), with the characters of ``normalize`` for words, as KorQuAD does for Korean.
    """
    ours, theirs = Counter(normalize(answer)), Counter(normalize(reference))
    if not ours or not theirs:
        return float(ours == theirs)
    common = (ours & theirs).total()
    return 2 * common / (ours.total() + theirs.total())


class _Words:
    """Words for ROUGE: runs of letters and digits of any script. The library's own keeps only a-z and 0-9."""

    def tokenize(self, text: str) -> list[str]:
        import re

        return re.findall(r"\w+", unicodedata.normalize("NFC", text).casefold())


@cache
def _rouge() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise _missing("rouge", "rouge-score") from None
    return RougeScorer(["rougeL"], tokenizer=_Words())


@cache
def _chrf() -> Any:
    try:
        from sacrebleu.metrics import CHRF
    except ImportError:
        raise _missing("chrf", "sacrebleu") from None
    return CHRF()


def _missing(metric: str, package: str) -> UserError:
    return UserError(f"--metric {metric}: needs {package}", hint="pip install 'lf-registry[compare]'")


def rouge(answer: str, reference: str) -> float:
    """ROUGE-L (F1) by ``rouge_score``, over words: a word with another particle is another word."""
    return float(_rouge().score(normalize(reference), normalize(answer))["rougeL"].fmeasure)


def chrf(answer: str, reference: str) -> float:
    """The chrF2 score of one answer by ``sacrebleu`` (character 1- to 6-grams), from 0 to 1."""
    return float(_chrf().sentence_score(normalize(answer), [normalize(reference)]).score) / 100


def _priced(score: Callable[[float, float], float], without: float | None) -> Prepare:
    def one(answer: str, reference: str) -> float | None:
        expected, got = amount(reference), amount(answer)
        if expected is None:
            return None
        return without if got is None else score(got, expected)

    return lambda _: one


def _squared_log(got: float, expected: float) -> float:
    import math

    return (math.log1p(max(got, 0.0)) - math.log1p(max(expected, 0.0))) ** 2


def _root_mean(values: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.sqrt(values.mean(axis=-1))


def _within(got: float, expected: float) -> float:
    return float(abs(got - expected) <= 0.2 * abs(expected))


def _always(score: Callable[[str, str], float]) -> Prepare:
    return lambda _: score


def _labelled(references: Sequence[str]) -> Callable[[str, str], float | None]:
    labels = Labels.of(references)
    return lambda answer, reference: float(labels.code(answer) == labels.code(reference))


def _coded(references: Sequence[str]) -> Callable[[str, str], float | None]:
    labels = Labels.of(references)
    return labels.pair


METRICS = {
    metric.name: metric
    for metric in (
        Metric("exact_match", "answers equal to the reference", _always(exact_match), outcome=True),
        Metric("f1", "characters shared with the reference", _always(character_f1)),
        Metric("rouge", "ROUGE-L over words", _always(rouge)),
        Metric("chrf", "chrF over characters", _always(chrf)),
        Metric("mae", "mean error of the price", _priced(lambda a, b: abs(a - b), None), higher=False, unit="number"),
        Metric(
            "rmsle",
            "root mean squared error of log(1 + price)",
            _priced(_squared_log, None),
            higher=False,
            total=_root_mean,
            unit="number",
        ),
        Metric("within_20", "prices within 20 % of the reference", _priced(_within, 0.0), outcome=True),
        Metric("accuracy", "answers with the right label", _labelled, outcome=True),
        Metric("macro_f1", "F1 of each label, averaged over the labels", _coded, total=macro_f1, row=is_right),
    )
}


def unknown(names: Iterable[str]) -> list[str]:
    """What is wrong with names that are no metric, one line each."""
    return [
        f"--metric {n!r}: does not exist; {did_you_mean(n, METRICS, kind='metrics')}" for n in names if n not in METRICS
    ]


def chosen(names: Sequence[str]) -> list[Metric]:
    """The metrics of these names; a name may hold several, separated by commas.

    Raises:
        WrongUsage: lists the names that do not exist, with the one probably meant.
        UserError: a metric's library is not installed.
    """
    asked = dict.fromkeys(part.strip() for name in names for part in name.split(",") if part.strip())
    if wrong := unknown(asked):
        raise WrongUsage(wrong)
    for name, load in (("rouge", _rouge), ("chrf", _chrf)):
        if name in asked:
            load()
    return [METRICS[name] for name in asked]
