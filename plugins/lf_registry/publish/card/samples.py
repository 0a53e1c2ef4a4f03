"""What a comparison of the base model and the trained one has left in the folder: answers, and sentences on them.

``answers.jsonl``: a JSON object a line, with the texts ``prompt``, ``before`` and ``after``; other keys do not matter.
``summary.json``: a JSON object; of it ``sentences``, a list of texts, is shown; ``tuned_model`` and ``base_model`` say
which models answered.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...fingerprint import Identity, identity_from, identity_of

SAMPLES_FILE, SUMMARY_FILE = "answers.jsonl", "summary.json"
_MOST_SAMPLES, _MOST_SENTENCES = 3, 24
#: Characters of a prompt or an answer; a card is no archive.
_LONGEST = 1500
#: What stands for the rest.
CUT = " [...]"
_KEYS = ("prompt", "before", "after")


@dataclass(frozen=True)
class Comparison:
    """What a card shows of a comparison.

    Attributes:
        samples: before/after answers.
        sentences: of the summary.
        notes: what is there and not shown, or cannot be checked, and what to do.
        weights: the fingerprint of the weights in the folder; None when there are none.
        again: how to make answers of the model in the folder.
    """

    samples: tuple[dict[str, str], ...] = ()
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    weights: str | None = None
    again: str = ""


def read_comparison(folder: Path, base: str, training: Sequence[str] = (), held_out: Sequence[str] = ()) -> Comparison:
    """What a folder's comparison says of the model in the folder; nothing when another model answered.

    Args:
        folder: what is published.
        base: the base model's Hub id.
        training, held_out: names of datasets, for the command that compares again.
    """
    samples, sentences = read_samples(folder), read_summary(folder)
    notes = _not_shown(folder, samples, sentences)
    here = identity_of(folder)
    there = [name for name, shown in ((SAMPLES_FILE, samples), (SUMMARY_FILE, sentences)) if shown]
    what, again = " and ".join(there), _again(folder, base, training, held_out)
    why, certain = _others(folder, here, base) if there else ("", True)
    if why and certain:
        notes.append(f"{what}: {why}, so the card shows nothing of it. {again}")
        return Comparison((), (), tuple(notes), here.weights, again)
    if why:
        notes.append(f"{what}: {why}, so the card shows it unchecked. If another model answered: {again}")
    return Comparison(tuple(samples), tuple(sentences), tuple(notes), here.weights, again)


def read_samples(folder: Path) -> list[dict[str, str]]:
    """The first three before/after samples in a folder; lines of another shape are passed over."""
    found = []
    for line in _text(folder / SAMPLES_FILE).split("\n"):  # not splitlines: JSON may hold other line ends as they are
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and all(isinstance(value.get(key), str) for key in _KEYS):
            found.append({key: _shortened(value[key]) for key in _KEYS})
        if len(found) == _MOST_SAMPLES:
            break
    return found


def read_summary(folder: Path) -> list[str]:
    """The sentences of a comparison's summary; none when there is no summary."""
    sentences = _summary(folder).get("sentences")
    texts = sentences if isinstance(sentences, list) else []
    found = [text for text in texts if isinstance(text, str) and text.strip()]
    more = len(found) - _MOST_SENTENCES
    return found[:_MOST_SENTENCES] + ([f"And {more} more sentences, which are left out here."] if more > 0 else [])


def _others(folder: Path, here: Identity, base: str) -> tuple[str, bool]:
    """Why the answers may be other models' (empty when they are not), and whether that is certain."""
    if not (folder / SUMMARY_FILE).is_file():
        return f"there is no {SUMMARY_FILE} beside it, which says which model answered", False
    summary = _summary(folder)
    asked = identity_from(summary.get("tuned_model"))
    if asked is None:
        return f"{SUMMARY_FILE} does not say which files answered (a server's model, or an older comparison)", False
    if not asked.same_weights(here):
        why = f"another model answered: {SUMMARY_FILE} says tuned_model {asked.weights}"
        return f"{why}, and the fingerprint of the weights in {folder} is {here.weights}", True
    if not asked.same_template(here):
        return "the answers were made with another chat template than the one that is saved here", True
    before = summary.get("base_model")
    if isinstance(before, str) and base and before.lower() != base.lower():
        return f"the answers before are those of {before}, and the base model of this card is {base}", True
    return "", True


def _again(folder: Path, base: str, training: Sequence[str], held_out: Sequence[str]) -> str:
    """How to make answers of the model in the folder."""
    words = ["lf-registry", "compare", "--base", base, "--tuned", str(folder)]
    words += ["--data", ",".join(training) or "DATASET"]
    words += ["--held-out", ",".join(held_out)] if held_out else []
    command = shlex.join([*words, "--out", "outputs/compare"])
    files = f"outputs/compare/{SAMPLES_FILE} outputs/compare/{SUMMARY_FILE}"
    return f"{command}, then cp {files} {shlex.quote(str(folder))}"


def _not_shown(folder: Path, samples: Sequence[Any], sentences: Sequence[str]) -> list[str]:
    """A sentence for each file of a comparison that is there and gives the card nothing."""
    found = []
    if (folder / SAMPLES_FILE).is_file() and not samples:
        found.append(f"{SAMPLES_FILE}: no line has the texts prompt, before and after, so the card shows no answers")
    if (folder / SUMMARY_FILE).is_file() and not sentences:
        found.append(f"{SUMMARY_FILE}: has no list of texts `sentences`, so the card shows nothing of it")
    return found


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST].rstrip() + CUT


def _summary(folder: Path) -> dict[str, Any]:
    try:
        value = json.loads(_text(folder / SUMMARY_FILE))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""
