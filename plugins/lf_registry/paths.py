"""Where templates, datasets and recipes are found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import UserError

#: Further data roots, separated like ``PATH``; each has ``templates/``, or is itself a folder of template files.
PATH_VARIABLE = "LF_REGISTRY_PATH"


@dataclass(frozen=True)
class Root:
    """A folder with our layout: ``templates/``, ``recipes/``, ``dataset_info.json``.

    Attributes:
        path: the folder, absolute.
        origin: why it is searched, for error messages.
    """

    path: Path
    origin: str

    @property
    def templates(self) -> Path:
        """The folder of template files: ``templates/`` below the root, or the root itself for a user's folder."""
        below = self.path / "templates"
        return self.path if not below.is_dir() and self.origin == PATH_VARIABLE else below


def _is_checkout(folder: Path) -> bool:
    return (folder / "plugins" / "lf_registry" / "paths.py").is_file() and (folder / "dataset_info.json").is_file()


def base_root() -> Root:
    """The root of what we ship: this checkout (or the one the user stands in), else the copy in the wheel."""
    current = Path.cwd()
    if _is_checkout(current):
        return Root(current, "checkout")
    package = Path(__file__).resolve().parent
    checkout = package.parent.parent
    if _is_checkout(checkout):
        return Root(checkout, "checkout")
    return Root(package / "data", "installed package")


def roots() -> list[Root]:
    """All data roots: what we ship, then those in ``LF_REGISTRY_PATH``, then the current folder.

    Raises:
        UserError: when ``LF_REGISTRY_PATH`` names something that is not a folder.
    """
    found = [base_root()]
    problems = []
    for entry in os.environ.get(PATH_VARIABLE, "").split(os.pathsep):
        if not entry.strip():
            continue
        folder = Path(entry.strip()).expanduser().resolve()
        if folder.is_dir():
            found.append(Root(folder, PATH_VARIABLE))
        else:
            problems.append(f"{PATH_VARIABLE}: {entry!r} is not a folder")
    if problems:
        raise UserError(problems, hint=f"correct it, or: unset {PATH_VARIABLE}")
    current = Path.cwd()
    if (current / "templates").is_dir() or (current / "dataset_info.json").is_file():
        found.append(Root(current, "current folder"))
    unique: dict[Path, Root] = {}
    for root in found:
        unique.setdefault(root.path.resolve(), root)
    return list(unique.values())
