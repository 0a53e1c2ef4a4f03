"""Whether a difference is more than noise: the same prompts before and after, and a bootstrap over the prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

#: Resamples of the bootstrap, and the share of them that the interval holds.
RESAMPLES, CONFIDENCE = 4000, 0.95
#: On fewer prompts than this a difference can be chance at any size: heads five times in a row has p = 2 / 2^5 > 0.05.
FEWEST = 6
#: Bytes that one block of resamples may take.
_BLOCK = 64 * 2**20

Total = Callable[["np.ndarray"], "np.ndarray"]


@dataclass(frozen=True)
class Paired:
    """Before and after on the same prompts.

    Attributes:
        prompts: how many prompts have a value on both sides; ``left_out`` have one on neither or one side only.
        before, after: the number for all of them.
        difference: after - before; ``low`` to ``high`` is its 95 % interval (None for one prompt).
        wins, losses, ties: prompts on which after is better, worse, equal.
        more_than_noise: the interval does not hold 0, and at least six prompts differ.
    """

    prompts: int
    left_out: int
    before: float
    after: float
    difference: float
    low: float | None
    high: float | None
    wins: int
    losses: int
    ties: int
    more_than_noise: bool

    def as_json(self) -> dict[str, Any]:
        """The values for ``summary.json``."""
        return asdict(self)


def mean(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis."""
    return values.mean(axis=-1)


def paired(
    before: Sequence[float | None],
    after: Sequence[float | None],
    *,
    total: Total | None = None,
    higher: bool = True,
    seed: int = 0,
    row: Callable[[float], float] = float,
) -> Paired | None:
    """Compare two sides prompt by prompt.

    The interval is the percentile bootstrap of ``total(after) - total(before)``, prompts drawn with replacement, both
    sides of a prompt together (Efron and Tibshirani 1993, chapter 13), by ``scipy.stats.bootstrap``.

    Args:
        before, after: one value per prompt; None where there is none.
        total: from values (last axis) to one number; the mean when None.
        higher: whether more is better.
        seed: of the resampling.
        row: from a prompt's value to the number that says which side is better on it.

    Returns:
        None when no prompt has a value on both sides.
    """
    import numpy as np

    pairs = [(b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None]
    if not pairs:
        return None
    total = total or mean
    first, second = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))
    signs = [_sign(row(b), row(a)) * (1 if higher else -1) for b, a in pairs]
    difference = float(total(second) - total(first))
    low, high = _interval(lambda i: total(second[i]) - total(first[i]), len(pairs), seed)
    differing = sum(sign != 0 for sign in signs)
    return Paired(
        len(pairs),
        len(before) - len(pairs),
        float(total(first)),
        float(total(second)),
        difference,
        low,
        high,
        signs.count(1),
        signs.count(-1),
        signs.count(0),
        differing >= FEWEST and low is not None and high is not None and (low > 0 or high < 0),
    )


def _sign(before: float, after: float) -> int:
    return 0 if abs(after - before) <= 1e-9 * max(1.0, abs(before)) else 1 if after > before else -1


def gap(first: Sequence[float], second: Sequence[float], seed: int = 0) -> tuple[float, float | None, float | None]:
    """The difference of the means of two groups of prompts, first - second, with its 95 % interval."""
    import numpy as np
    from scipy.stats import bootstrap

    one, two = np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)
    difference = float(one.mean() - two.mean())
    if min(len(one), len(two)) < 2:
        return difference, None, None
    result = bootstrap(
        (one, two),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        n_resamples=RESAMPLES,
        batch=_batch(len(one) + len(two)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    interval = result.confidence_interval
    return difference, float(interval.low), float(interval.high)


def _interval(statistic: Callable[[np.ndarray], np.ndarray], rows: int, seed: int) -> tuple[float | None, float | None]:
    """The interval of a statistic that is computed from the rows' numbers."""
    import numpy as np
    from scipy.stats import bootstrap

    if rows < 2:
        return None, None
    result = bootstrap(
        (np.arange(rows),),
        lambda i, axis: statistic(np.moveaxis(i, axis, -1)),
        n_resamples=RESAMPLES,
        batch=_batch(rows),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _batch(rows: int) -> int:
    return max(1, _BLOCK // (rows * 8 * 4))
