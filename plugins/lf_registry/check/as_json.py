"""The report of a check for programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from .hidden import without_secrets
from .report import Report

#: Goes up when a key is renamed or removed; a new key does not change it.
VERSION = 1


def report_json(report: Report) -> dict[str, Any]:
    """The report as plain dictionaries, lists, strings, numbers, true, false and null; secrets are ``(hidden)``.

    Returns:
        Always these keys:

        - ``version``: of this layout.
        - ``recipe``, ``overrides``, ``values``, ``cutoff_len``: what was checked.
        - ``errors``, ``warnings``: how many of each. ``findings``: all of them, errors first, each with ``severity``,
          ``code``, ``where``, ``message``, ``fix``, ``rows``, ``count``, ``details``.
        - ``datasets``: one object each, with the attributes of ``DatasetReport``.
        - ``samples``: ``dataset``, ``row`` and ``tokens`` (``id``, ``text``, ``trained``), as many as were asked for.
        - ``checked``, ``not_checked``: sentences. ``rows_per_second``: a number or null.

        What JSON cannot hold becomes text: an infinite number, a date, half of a surrogate pair.
    """
    report = without_secrets(report)
    head = {"version": VERSION, "errors": len(report.errors), "warnings": len(report.warnings)}
    return _plain(head | asdict(report))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")
