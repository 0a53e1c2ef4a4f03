"""The installed packages beside ``requirements.lock`` and beside what this package asks for."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ..paths import base_root
from .page import Section

#: What a reader asks for first.
_SHOWN = ("llamafactory", "torch", "transformers", "peft", "deepspeed", "huggingface-hub")
#: How many differing packages are named.
_MOST = 8


def versions(lock: Path | None = None, requires: list[str] | None = None) -> Section:
    """Compare; only packages that this one needs directly can break a run, the others are said in one warning.

    Args:
        lock: ``requirements.lock``; the checkout's when left out (the wheel has none).
        requires: requirement lines; those of the installed lf-registry when left out.
    """
    section = Section("versions")
    section.say("Python", f"{sys.version.split()[0]}, {sys.prefix}")
    installed = _installed()
    for name in ("lf-registry", *_SHOWN):
        section.say(name, str(installed.get(canonicalize_name(name), "not installed")))
    _direct(section, installed, _own_requirements() if requires is None else requires)
    lock = base_root().path / "requirements.lock" if lock is None else lock
    if lock.is_file():
        _against_lock(section, installed, lock)
    else:
        section.say("lock", "none here (it stands in the checkout); compared with lf-registry's own requirements")
    return section


def _installed() -> dict[str, str]:
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(canonicalize_name(name), distribution.version)  # the first on the path is imported
    return found


def _own_requirements() -> list[str]:
    try:
        return importlib.metadata.requires("lf-registry") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _direct(section: Section, installed: Mapping[str, str], requires: list[str]) -> None:
    for line in requires:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = installed.get(canonicalize_name(requirement.name))
        need = f"{requirement.name}{requirement.specifier}"
        if version is None:
            section.find(
                "error", "missing-package", requirement.name, f"{need} is not installed", f"pip install '{need}'"
            )
        elif not requirement.specifier.contains(Version(version).public, prereleases=True):
            message = f"{version} is installed, and this version of lf-registry runs with {requirement.specifier}"
            section.find("error", "wrong-version", requirement.name, message, f"pip install '{need}'")


def _against_lock(section: Section, installed: Mapping[str, str], lock: Path) -> None:
    same, different = 0, []
    for name, wanted in read_lock(lock).items():
        version = installed.get(name)
        if version is None:
            continue  # an extra that was not asked for; what is needed was looked at above
        if Version(version).public == wanted:
            same += 1
        else:
            different.append(f"{name} {version} (lock: {wanted})")
    section.say("lock", f"{same} packages as in {lock.name}" + (f", {len(different)} not" if different else ""))
    if different:
        more = f" and {len(different) - _MOST} more" if len(different) > _MOST else ""
        section.find(
            "warning",
            "not-as-locked",
            lock.name,
            f"other versions are installed than were tested: {', '.join(different[:_MOST])}{more}",
            f"uv pip sync --require-hashes {lock}, then install lf-registry again with --no-deps",
        )


def read_lock(lock: Path) -> dict[str, str]:
    """The packages that a lock of ``uv pip compile`` has for this Python and system: name -> version."""
    found = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if not line or line[0] in " #-":
            continue
        try:
            requirement = Requirement(line.rstrip("\\ "))
        except InvalidRequirement:
            continue
        pinned = [item.version for item in requirement.specifier if item.operator == "=="]
        if pinned and (requirement.marker is None or requirement.marker.evaluate()):
            found[canonicalize_name(requirement.name)] = pinned[0]
    return found
