"""The doctor's page for a terminal and for programs."""

from __future__ import annotations

import textwrap
from dataclasses import asdict

from ..check.report import Finding
from ..check.visible import visible
from ..files import json_text
from ..secret_text import hide_in_text
from .page import Section, findings

#: Goes up when a key is renamed or removed; a new key does not change it.
VERSION = 1
_WIDTH = 100


def page_text(sections: list[Section]) -> str:
    """Facts first, then what is wrong with what to do for each, then the verdict."""
    lines = []
    for section in sections:
        lines.append(section.title)
        width = max((len(label) for label, _ in section.facts), default=0)
        lines += [_clean(f"  {label:{width}}  {value}") for label, value in section.facts]
        lines.append("")
    found = findings(sections)
    for item in found:
        lines += [*_finding(item), ""]
    errors = sum(item.severity == "error" for item in found)
    warnings = len(found) - errors
    if errors:
        lines.append(f"{_count(errors, 'error')} that will break a run, {_count(warnings, 'warning')}")
        lines.append("next: do what stands behind `fix:`, then lf-registry doctor")
    else:
        lines.append(f"nothing here will break a run; {_count(warnings, 'warning')}")
        lines.append("next: lf-registry check RECIPE")
    return "\n".join(lines) + "\n"


def _finding(item: Finding) -> list[str]:
    indent = " " * 9
    message = textwrap.wrap(_clean(item.message), _WIDTH - 9, break_long_words=False, break_on_hyphens=False)
    return [
        _clean(f"{item.severity:8} {item.where}  {item.code}"),
        *(indent + line for line in message),
        _clean(f"    fix: {item.fix}"),  # in one piece, so that it can be copied
    ]


def _clean(text: str) -> str:
    return visible(hide_in_text(" ".join(text.splitlines())))


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def page_json(sections: list[Section]) -> str:
    """``version``, ``errors``, ``warnings``, ``findings`` (as of ``check --json``), ``sections`` (title -> facts)."""
    found = findings(sections)
    errors = sum(item.severity == "error" for item in found)
    kept = ("severity", "code", "where", "message", "fix")
    page = {
        "version": VERSION,
        "errors": errors,
        "warnings": len(found) - errors,
        "findings": [{key: hide_in_text(asdict(item)[key]) for key in kept} for item in found],
        "sections": {
            section.title: [{"name": label, "value": hide_in_text(value)} for label, value in section.facts]
            for section in sections
        },
    }
    return json_text(page)
