"""The generated sections of a card, between markers, so that everything else in it stays as somebody wrote it.

Which sections were generated at some time stands in a comment of its own. With it, a section that somebody deleted
stays deleted, and one that is new (because there are samples now) is added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .training import TRAINER_MARK

#: All sections, in the order of a new card.
ORDER = ("about", "samples", "use", "training", "data", "limits", "license")
#: What is added to a card that somebody wrote without us: facts that nobody knows by heart, and what a licence demands.
ADDED = ("training", "license")
_MARKER = re.compile(r"^<!-- lf-registry:(begin|end) ([\w-]+) -->(?=[ \t]*\r?$)", re.MULTILINE)
_ANSWERS = re.compile(r"^<!-- lf-registry:answers ([0-9a-f]+) -->(?=[ \t]*\r?$)", re.MULTILINE)
_RECORD = re.compile(r"^<!-- lf-registry:sections ([\w, -]*)-->(?=[ \t]*\r?$)", re.MULTILINE)
#: The heading and the gaps of ``huggingface_hub``'s own template, which PEFT saves with every adapter.
_TEMPLATE_HEADING, _GAP = "# Model Card for Model ID", "[More Information Needed]"


@dataclass(frozen=True)
class Section:
    """A section that stands in a card: its name, and where its text begins and ends."""

    name: str
    start: int
    end: int


def is_generated(text: str) -> bool:
    """Whether a card is the draft that the Trainer, LLaMA-Factory or PEFT saves: nobody wrote it, nothing is lost."""
    if _MARKER.search(text) or _RECORD.search(text):
        return False
    return TRAINER_MARK in " ".join(text.split()) or (_TEMPLATE_HEADING in text and text.count(_GAP) > 10)


def new_body(title: str, texts: dict[str, str]) -> str:
    """The body of a new card: the title, all sections with their markers, and the record of them."""
    shown = [name for name in ORDER if texts.get(name)]
    parts = [f"# {title}", *(_marked(name, texts[name]) for name in shown), _record(shown)]
    return "\n\n".join(parts) + "\n"


def find_sections(body: str) -> tuple[list[Section], list[str]]:
    """The sections of a body, and what is wrong with their markers."""
    found: list[Section] = []
    problems: list[str] = []
    opened: re.Match[str] | None = None
    for marker in _MARKER.finditer(body):
        kind, name = marker.groups()
        line = body.count("\n", 0, marker.start()) + 1
        if kind == "begin" and opened:
            problems.append(f"line {line} of the body: `begin {name}` stands inside the section {opened[2]!r}")
        elif kind == "end" and (opened is None or opened[2] != name):
            problems.append(f"line {line} of the body: `end {name}` has no `begin {name}`")
        elif kind == "end" and opened:
            found.append(Section(name, opened.start(), marker.end()))
            opened = None
            continue
        opened = marker if kind == "begin" and not opened else opened
    if opened:
        problems.append(f"the section {opened[2]!r} never ends: `<!-- lf-registry:end {opened[2]} -->` is missing")
    twice = sorted({section.name for section in found if [other.name for other in found].count(section.name) > 1})
    problems += [f"the section {name!r} stands twice; keep one" for name in twice]
    advice = "; a section between broken markers cannot be renewed: mend them, or delete README.md for a new card"
    return found, [f"README.md: {problem}{advice}" for problem in problems]


def answered_by(body: str) -> str | None:
    """The fingerprint of the weights whose answers a card shows; None when it shows none, or does not say whose."""
    found = _ANSWERS.search(body)
    return found[1] if found else None


def renew(body: str, texts: Mapping[str, str | None], newline: str = "\n") -> tuple[str, list[str]]:
    """Renew the generated sections of a card's body; every other byte stays.

    A body without markers is somebody's own: only the sections ``ADDED`` are put at its end.

    Args:
        body: what follows the metadata.
        texts: section -> its new text. Where that is empty, there is nothing new to say, and what stands there stays;
            where it is None, what stands there is not true any more and is taken out.
        newline: the card's line ending.

    Returns:
        The body, and what is wrong with its markers (the body is unchanged then).
    """
    found, problems = find_sections(body)
    if problems:
        return body, problems
    record = _RECORD.search(body)
    if not found and record is None:
        parts = [_marked(name, text) for name in ADDED if (text := texts.get(name))] + [_record(list(ORDER))]
        gap = newline * 2 if body.strip() else ""
        return body.rstrip("\r\n") + gap + _ending("\n\n".join(parts), newline) + newline, []
    standing = {section.name for section in found}
    known = set(re.split(r"[, ]+", record[1].strip())) | standing if record else set(ORDER)
    new = [name for name in ORDER if name not in known and texts.get(name)]
    pieces: list[tuple[int, int, str]] = [
        (section.start, section.end, _ending(_marked(section.name, text), newline))
        for section in found
        if (text := texts.get(section.name))
    ]
    gone = [section for section in found if texts.get(section.name, "") is None]
    pieces += [(section.start, section.end + len(_gap_after(body, section)), "") for section in gone]
    for name in new:
        place = _place(name, found, record)
        pieces.append((place, place, _ending(_marked(name, texts[name] or "") + "\n\n", newline)))
    if record and (new or gone):
        left = (known | set(new)) - {section.name for section in gone}
        names = [name for name in ORDER if name in left]
        pieces.append((record.start(), record.end(), _record(names)))
    pieces.sort(key=lambda piece: (piece[0], piece[1]))
    for start, end, text in reversed(pieces):  # from the end, so that places stay; those at one place come in order
        body = body[:start] + text + body[end:]
    return body, []


def _place(name: str, found: list[Section], record: re.Match[str] | None) -> int:
    """Where a new section goes: in front of the next one that stands there, else in front of the record."""
    later = [section.start for section in found if name in ORDER[: _rank(section.name)]]
    return min(later) if later else record.start() if record else 0


def _gap_after(body: str, section: Section) -> str:
    """The line ends between a section and what follows it."""
    return re.compile(r"[\r\n]*").match(body, section.end)[0]  # type: ignore[index]  # matches nothing, too


def _rank(name: str) -> int:
    return ORDER.index(name) if name in ORDER else 0


def _marked(name: str, text: str) -> str:
    return f"<!-- lf-registry:begin {name} -->\n{text.strip()}\n<!-- lf-registry:end {name} -->"


def _record(names: list[str]) -> str:
    return f"<!-- lf-registry:sections {', '.join(names)} -->"


def _ending(text: str, newline: str) -> str:
    return text.replace("\n", newline)
