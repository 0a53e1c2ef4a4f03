"""The whole page: collect, print, and the exit code."""

from __future__ import annotations

import os
from pathlib import Path

from .page import Section, findings


def collect(output: Path, *, full: bool = False) -> list[Section]:
    """Look at everything; what takes long (a child process, the Hub) runs while the rest is looked at."""
    from .plugin import plugin, start_child

    child = start_child(full)
    from .disks import disks
    from .gpus import gpus
    from .hub import ask_hub, find_token, hub
    from .registry import registry
    from .versions import versions

    environment = dict(os.environ)
    token, source = find_token(environment)
    answer = ask_hub(token)
    gpu, count = gpus(environment)
    sections = [versions(), gpu, disks(environment, output, count), registry()]
    explained = any(found.code in ("driver-too-old", "torch-without-cuda") for found in gpu.findings)
    return [*sections, plugin(child(), environment, gpus=0 if explained else count), hub(token, source, answer())]


def doctor(*, output: Path, as_json: bool, full: bool) -> int:
    """Print the page; returns the exit code: 1 when something will break a run."""
    from ..check.visible import write_out
    from .text import page_json, page_text

    sections = collect(output, full=full)
    write_out(page_json(sections) if as_json else page_text(sections))
    return int(any(found.severity == "error" for found in findings(sections)))
