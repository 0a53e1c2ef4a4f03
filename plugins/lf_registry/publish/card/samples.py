"""What a comparison of the base model and the trained one has left in the folder: answers, and sentences on them.

``answers.jsonl``: a JSON object a line, with the texts ``prompt``, ``before`` and ``after``; other keys do not matter.
``summary.json``: a JSON object; of it ``sentences``, a list of texts, is shown.
"""

from __future__ import annotations

import json
from pathlib import Path

SAMPLES_FILE, SUMMARY_FILE = "answers.jsonl", "summary.json"
_MOST_SAMPLES, _MOST_SENTENCES = 3, 24
#: Characters of a prompt or an answer; a card is no archive.
_LONGEST = 1500
#: What stands for the rest.
CUT = " [...]"
_KEYS = ("prompt", "before", "after")


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
    try:
        value = json.loads(_text(folder / SUMMARY_FILE))
    except ValueError:
        return []
    sentences = value.get("sentences") if isinstance(value, dict) else None
    texts = sentences if isinstance(sentences, list) else []
    found = [text for text in texts if isinstance(text, str) and text.strip()]
    more = len(found) - _MOST_SENTENCES
    return found[:_MOST_SENTENCES] + ([f"And {more} more sentences, in `{SUMMARY_FILE}`."] if more > 0 else [])


def not_shown(folder: Path) -> list[str]:
    """A sentence for each file of a comparison that is there and gives the card nothing."""
    found = []
    if (folder / SAMPLES_FILE).is_file() and not read_samples(folder):
        found.append(f"{SAMPLES_FILE}: no line has the texts prompt, before and after, so the card shows no answers")
    if (folder / SUMMARY_FILE).is_file() and not read_summary(folder):
        found.append(f"{SUMMARY_FILE}: has no list of texts `sentences`, so the card shows nothing of it")
    return found


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST].rstrip() + CUT


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""
