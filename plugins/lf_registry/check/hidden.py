"""Secrets stay out of every report of a check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from ..secret_text import HIDDEN, hide_in_text, hide_in_values, names_a_secret
from .report import Finding, Report
from .secrets import secrets

#: A shorter secret is not searched for in sentences: `key: a` would blacken every a.
_SHORTEST = 6


def without_secrets(report: Report) -> Report:
    """A copy of the report with no secret in its values, its overrides and its sentences.

    Samples are left as they are: they show what is in the data, and are made only when asked for.
    """
    hide = _Hide(report.values)
    return replace(
        report,
        values=hide.values(hide_in_values(report.values)),
        overrides=tuple(hide(_hide_override(text)) for text in report.overrides),
        findings=hide.findings(report.findings),
        checked=[hide(line) for line in report.checked],
        not_checked=[hide(line) for line in report.not_checked],
    )


def findings_without_secrets(findings: Iterable[Finding], values: dict[str, Any]) -> list[Finding]:
    """The same findings; a secret that a message repeated (as an unknown template's name, say) is hidden."""
    return _Hide(values).findings(findings)


class _Hide:
    """Hides the secrets of a recipe, and whatever has the shape of one."""

    def __init__(self, values: dict[str, Any]) -> None:
        found = {*_named(values), *(secret for secret, _ in secrets(values).values())}
        self._known = sorted((text for text in found if len(text) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._known:
            text = text.replace(secret, HIDDEN)
        return hide_in_text(text)

    def values(self, value: Any) -> Any:
        """A nested value with every text cleaned."""
        if isinstance(value, dict):
            return {name: self.values(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.values(item) for item in value]
        return self(value) if isinstance(value, str) else value

    def findings(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings with every sentence cleaned."""
        return [
            replace(
                finding,
                where=self(finding.where),
                message=self(finding.message),
                fix=self(finding.fix),
                details=tuple(self(line) for line in finding.details),
            )
            for finding in findings
        ]


def _named(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _named(item, f"{key}_{name}")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _named(item, key)
    elif names_a_secret(key) and not isinstance(value, bool) and value is not None:
        yield str(value)


def _hide_override(text: str) -> str:
    key, equals, value = text.partition("=")
    return f"{key}={HIDDEN}" if equals and value and names_a_secret(key) else text
