"""What the doctor finds: plain data, which the text and the JSON are written from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..check.report import Finding, Severity


@dataclass
class Section:
    """One part of the page.

    Attributes:
        title: ``versions``.
        facts: (what, how it is), in the order of the page.
        findings: what is wrong with it.
    """

    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def say(self, label: str, value: str) -> None:
        """Add a fact."""
        self.facts.append((label, value))

    def find(self, severity: Severity, code: str, where: str, message: str, fix: str) -> None:
        """Add a problem: what is wrong and why it matters, and what to type."""
        self.findings.append(Finding(severity, code, where, message, fix))


def findings(sections: Iterable[Section]) -> list[Finding]:
    """All problems, errors first."""
    return sorted((found for section in sections for found in section.findings), key=lambda found: found.severity)


def on_a_pod(environment: Mapping[str, str]) -> bool:
    """Whether this is a RunPod pod, whose container disk is lost when it stops."""
    return bool(environment.get("RUNPOD_POD_ID"))
