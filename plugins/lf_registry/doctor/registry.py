"""Templates, datasets and recipes that are found from the current folder."""

from __future__ import annotations

from ..errors import UserError
from ..listing import collect
from ..paths import roots
from .page import Section


def registry() -> Section:
    """Count them; a file that cannot be read is an error, because LLaMA-Factory stops at it too."""
    section = Section("registry")
    try:
        for root in roots():
            section.say(root.origin, str(root.path))
    except UserError as error:
        for problem in error.problems:
            section.find("error", "broken-path", "LF_REGISTRY_PATH", problem, error.hint or "")
        return section
    for kind in ("templates", "datasets", "recipes"):
        tables, problems = collect([kind])
        section.say(kind, f"{len(tables[kind])} found" if kind in tables else "not all can be read")
        for problem in problems:
            section.find("error", "broken-file", kind, problem, f"correct it, then: lf-registry list {kind}")
    return section
