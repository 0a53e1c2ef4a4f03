"""What ``lf-registry convert`` did, for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .dataset_info import FILE_NAME


@dataclass
class Report:
    """What a conversion did.

    Attributes:
        data_file: the file written.
        format, encoding: what the source was.
        kept: number of examples written.
        skipped: (line, why) of each example left out.
        unused: the source's columns that went nowhere.
        duplicates: how many of the kept examples are exactly equal to an earlier one.
    """

    data_file: Path
    format: str
    encoding: str
    kept: int = 0
    skipped: list[tuple[int, str]] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    duplicates: int = 0


def unit_of(report: Report) -> str:
    """What the numbers of a report count: lines of the source, or the examples of a JSON value."""
    return "example" if report.format in ("json", "squad") else "line"


def report_lines(report: Report, name: str, most: int = 20) -> list[str]:
    """What was done, for people: kept, skipped and why by line number, and what to type next."""
    lines = [f"read as {report.format}, {report.encoding}", f"kept     {report.kept}"]
    if report.duplicates:
        lines.append(f"         {report.duplicates} of them are exact copies of an earlier one")
    if report.unused:
        lines.append(f"unused   columns: {', '.join(report.unused)}")
    lines.append(f"skipped  {len(report.skipped)}")
    unit = unit_of(report)
    lines += [f"  {unit} {line}: {why}" for line, why in report.skipped[:most]]
    if len(report.skipped) > most:
        lines += [
            f"  ... and {count} more: {why}"
            for why, count in Counter(why for _, why in report.skipped[most:]).most_common()
        ]
    root = report.data_file.parent.parent
    lines += [f"wrote {report.data_file} and its entry in {root / FILE_NAME}"]
    return [*lines, f"next: put `dataset: {name}` and `dataset_dir: {root}` into a recipe"]
