"""Secrets stay out of every report: reports are saved, uploaded and pasted into forums."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .report import Report

#: What stands in place of a secret.
HIDDEN = "(hidden)"

#: The end of a word in a key that names a secret: `hub_token`, `apikey`; not `max_new_tokens`, not `tokenized_path`.
_SECRET_WORD = re.compile(
    r"(?:token|secrets?|passwords?|passwd|pwd|credentials?|(?:^|api|access|auth|private)keys?)$", re.IGNORECASE
)

#: Tokens that give themselves away: Hugging Face, OpenAI and its likes, GitHub, GitLab, AWS, Slack, user:password@host.
_SECRET_SHAPE = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|sk-[\w-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
    r"|AKIA[A-Z0-9]{16}|xox[a-z]-[\w-]{10,})|(?<=://)[^\s/:@]+:[^\s/@]+(?=@)"
)

#: A shorter secret is not searched for in sentences: `key: a` would blacken every a.
_SHORTEST = 6


def names_a_secret(key: str) -> bool:
    """Whether a key's value is a secret by its name: one of its words is or ends in token, key, secret, password."""
    return any(_SECRET_WORD.search(word) for word in re.split(r"[^A-Za-z0-9]+|_", key))


def hide_in_text(text: str) -> str:
    """The text with everything that has the shape of an access token or password replaced by ``(hidden)``."""
    return _SECRET_SHAPE.sub(HIDDEN, text)


def hide_in_values(value: Any, key: str = "") -> Any:
    """A recipe's value with all secrets replaced, by their key's name or by their shape, in nested values too."""
    if isinstance(value, dict):
        return {name: hide_in_values(item, f"{key}_{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [hide_in_values(item, key) for item in value]
    if value is None or isinstance(value, bool) or value == "":
        return value
    if names_a_secret(key):
        return HIDDEN
    return hide_in_text(value) if isinstance(value, str) else value


def without_secrets(report: Report) -> Report:
    """A copy of the report with no secret in its values, its overrides and its sentences.

    The rules of a check never print a secret; this is the second lock, for a message that quotes a line of the recipe.
    Samples are left as they are: they show what is in the data, and are made only when asked for.
    """
    known = sorted(set(_secrets(report.values)), key=len, reverse=True)

    def hide(text: str) -> str:
        for secret in known:
            text = text.replace(secret, HIDDEN)
        return hide_in_text(text)

    return replace(
        report,
        values=hide_in_values(report.values),
        overrides=tuple(hide(_hide_override(text)) for text in report.overrides),
        findings=[
            replace(
                finding,
                where=hide(finding.where),
                message=hide(finding.message),
                fix=hide(finding.fix),
                details=tuple(hide(line) for line in finding.details),
            )
            for finding in report.findings
        ],
        checked=[hide(line) for line in report.checked],
        not_checked=[hide(line) for line in report.not_checked],
    )


def _secrets(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _secrets(item, f"{key}_{name}")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item, key)
    elif names_a_secret(key) and not isinstance(value, bool) and len(str(value)) >= _SHORTEST:
        yield str(value)


def _hide_override(text: str) -> str:
    key, equals, value = text.partition("=")
    return f"{key}={HIDDEN}" if equals and value and names_a_secret(key) else text
