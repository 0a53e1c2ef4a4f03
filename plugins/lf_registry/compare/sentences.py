"""The numbers as plain sentences."""

from __future__ import annotations

from typing import Any

from .metrics import METRICS
from .sanity import FLAGS
from .sides import AFTER, BEFORE
from .statistics import FEWEST, Paired


def number(value: float) -> str:
    """A number with as many digits as say something.

    >>> [number(value) for value in (0.5, 1.0, 0.12345, 12.345, 12900.0, 0.0)]
    ['0.500', '1', '0.123', '12.3', '12,900', '0']
    """
    size = abs(value)
    if size >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.{1 if size >= 10 else 2 if size >= 1 else 3}f}"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "-" if value < 0 else "") + number(abs(value))


def certainty(result: Paired, what: str = "difference") -> str:
    """Whether a difference is more than noise, and why that is said."""
    if result.wins + result.losses == 0:
        return "no prompt differs"
    if result.more_than_noise:
        return f"the {what} is more than noise"
    if result.low is not None and result.high is not None and (result.low > 0 or result.high < 0):
        return f"on fewer than {FEWEST} prompts that differ this may be chance"
    return f"the {what} is not more than noise"


def metric_sentence(name: str, result: Paired, which: str = "prompts") -> str:
    """One metric: from what to what, its interval, on how many prompts better and worse, and whether that is noise."""
    metric = METRICS.get(name)
    higher = metric.higher if metric else True
    label = f"{name} ({metric.about})" if metric else name
    if result.wins + result.losses == 0:
        return f"{label} is {number(result.after)} before and after on {result.prompts} {which}: no prompt differs."
    if result.difference == 0:
        way = "stayed at " + number(result.before)
    else:
        better = (result.difference > 0) == higher
        verb = "improved" if better else "got worse"
        way = f"{verb} from {number(result.before)} to {number(result.after)}"
    interval = (
        "" if result.low is None or result.high is None else f", 95 % {_signed(result.low)} to {_signed(result.high)}"
    )
    left = f"; {result.left_out} prompts left out" if result.left_out else ""
    return (
        f"{label} {way} on {result.prompts} {which} ({_signed(result.difference)}{interval}; {result.wins} better, "
        f"{result.losses} worse, {result.ties} equal{left}): {certainty(result)}."
    )


def perplexity_sentence(values: dict[str, Any], which: str = "prompts") -> str:
    """The likelihood of the references."""
    result = Paired(**values["mean_log_likelihood"])
    before, after = values[BEFORE], values[AFTER]
    verb = "fell" if after < before else "rose" if after > before else "stayed"
    return (
        f"Perplexity of the references per {values['unit']} {verb} from {number(before)} to {number(after)}: they are "
        f"likelier on {result.wins} of {result.prompts} {which}, less likely on {result.losses}; {certainty(result)}."
    )


def sanity_sentences(values: dict[str, dict[str, Any]], prompts: int, longest: int | None = None) -> list[str]:
    """What is wrong with answers, and another language than expected; nothing when all is well.

    Args:
        values: per side.
        prompts: how many there are.
        longest: tokens after which an answer was cut off: with a low limit, one that never stops is just a long one.
    """
    before, after = values[BEFORE], values[AFTER]
    limit = {} if longest is None else {"never_stops": f" within {longest} tokens"}
    lines = [
        f"{words[0].upper()}{words[1:]}{limit.get(flag, '')}: {before[flag]} before, {after[flag]} after, of {prompts}."
        for flag, words in FLAGS.items()
        if before[flag] or after[flag]
    ]
    shares = [side["hangul_share"] for side in (before, after)]
    if None not in shares and abs(shares[0] - shares[1]) > 0.2:
        lines.append(f"The share of Hangul among the letters went from {shares[0]:.0%} to {shares[1]:.0%}.")
    return lines


def speed_sentence(values: dict[str, dict[str, Any]]) -> str | None:
    """Speed and memory; None when nothing was measured."""
    parts = []
    for side in (BEFORE, AFTER):
        one = values[side]
        facts = []
        if one["tokens_per_second"] is not None:
            facts.append(f"{number(one['tokens_per_second'])} tokens a second")
        if one["first_token_seconds"] is not None:
            facts.append(f"first token after {number(one['first_token_seconds'])} s")
        if one["peak_bytes"] is not None:
            facts.append(f"{number(one['peak_bytes'] / 2**30)} GiB at most")
        if facts:
            parts.append(f"{side}: {', '.join(facts)}")
    return f"Speed with up to {values[AFTER]['batch']} prompts at once: {'; '.join(parts)}." if parts else None
