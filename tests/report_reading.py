"""Reports as the tests read them."""

from __future__ import annotations

import re

from lf_registry.check.report import Report
from lf_registry.check.visible import visible
from report_parts import OTHER_TOKEN, TOKEN
from reports import REPORTS

SECRETS = [TOKEN, OTHER_TOKEN, "s3cr3t-value", "nested-secret", "p" * 12]
NAMES = list(REPORTS)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def without_ansi(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def texts_of(report: Report) -> list[str]:
    """All sentences that a report holds."""
    found = [report.recipe, *report.checked, *report.not_checked, *(dataset.name for dataset in report.datasets)]
    for finding in report.findings:
        found += [finding.where, finding.code, finding.message, finding.fix, *finding.details]
    return [visible(re.sub("|".join(SECRETS), "(hidden)", text)) for text in found]
