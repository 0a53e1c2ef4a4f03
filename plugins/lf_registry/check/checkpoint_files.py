"""What the checks of a model folder share: how a finding is written, and reading small files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..tensors import is_lfs_pointer
from .report import Finding, Severity

#: How many names a finding lists.
MOST_NAMES = 8
#: What to do about a Git LFS pointer.
FETCH_LFS = "in the folder: git lfs pull; or without Git: hf download MODEL_ID --local-dir FOLDER"


def finding(
    code: str,
    where: object,
    message: str,
    fix: str,
    *,
    severity: Severity = "error",
    names: Sequence[str] = (),
) -> Finding:
    """Build a finding about a file; of ``names`` the first few become its details, and their number its count."""
    details = [*names[:MOST_NAMES], *([f"... and {len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else [])]
    return Finding(severity, code, str(where), message, fix, count=max(1, len(names)), details=tuple(details))


def download_again(path: Path) -> str:
    """What to do about a file that did not arrive whole."""
    return f"get the file again: hf download MODEL_ID {path.name} --local-dir {path.parent}; or save the model again"


def small_file_problem(path: Path) -> Finding | None:
    """What is wrong with a file before it is opened: nothing in it, or a Git LFS pointer."""
    if is_lfs_pointer(path):
        message = "this is a Git LFS pointer, a few lines of text in place of the file: it was never downloaded"
        return finding("lfs-pointer", path, message, FETCH_LFS)
    if path.stat().st_size == 0:
        return finding(
            "empty-file", path, "the file is empty (0 bytes), so a download or a save broke off", download_again(path)
        )
    return None


def read_json_object(path: Path, findings: list[Finding]) -> dict[str, Any] | None:
    """Read a JSON object; None, and a finding, when the file holds something else."""
    problem = small_file_problem(path)
    if problem is not None:
        findings.append(problem)
        return None
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text)
    except OSError as error:
        findings.append(finding("unreadable-file", path, f"cannot be read ({error.strerror})", "check its permissions"))
    except UnicodeDecodeError as error:
        message = f"not UTF-8 (byte {error.start}), so it cannot be JSON"
        findings.append(finding("bad-json", path, message, f"save it as UTF-8, or {download_again(path)}"))
    except json.JSONDecodeError as error:
        cut = "" if text.rstrip().endswith(("}", "]")) else " (the file ends too early: it is truncated)"
        message = f"not JSON: line {error.lineno}, column {error.colno}: {error.msg}{cut}; loading stops here"
        findings.append(finding("bad-json", path, message, f"correct this line, or {download_again(path)}"))
    except (ValueError, RecursionError):
        findings.append(finding("bad-json", path, "not usable as JSON; loading stops here", download_again(path)))
    else:
        if isinstance(value, dict):
            return value
        message = f"holds a JSON {type(value).__name__}, must hold an object: {{...}}"
        findings.append(finding("bad-json", path, message, download_again(path)))
    return None


def one_line(error: BaseException) -> str:
    """A library's error in one line, with its type: the message's beginning, long enough to search for."""
    text = " ".join(str(error).split())
    short = text if len(text) <= 300 else f"{text[:300]}..."
    return f"{type(error).__name__}: {short}" if short else type(error).__name__


def listed(names: Iterable[str]) -> str:
    """The names in one line, the first few of them."""
    known = list(names)
    more = f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else ""
    return ", ".join(known[:MOST_NAMES]) + more
