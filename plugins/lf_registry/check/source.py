"""Classes, enumerations and literal values, read from an installed package's source without importing it."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

from ..errors import UserError


class _Computed:
    def __repr__(self) -> str:
        return "<computed>"


#: The default of a key whose value is computed when the packages are imported.
COMPUTED = _Computed()


def source_of(package: str, file: str) -> ast.Module:
    """Parse a source file of an installed package, without importing the package.

    Raises:
        UserError: the package is not installed, or its version has no such file.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise UserError(f"{package} is not installed in this Python", hint="pip install llamafactory")
    path = Path(found.submodule_search_locations[0]) / file
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: this version of {package} is not one that lf-registry knows",
            hint="pip install --force-reinstall lf-registry",
        ) from None


class Source:
    """The classes of LLaMA-Factory and Transformers, and the names that stand for another class.

    Args:
        files: package -> the files to read.
    """

    def __init__(self, files: dict[str, list[str]]) -> None:
        self.classes: dict[tuple[str, str], ast.ClassDef] = {}
        self.aliases: dict[str, str] = {}
        for package, names in files.items():
            for file in names:
                for node in ast.walk(source_of(package, file)):
                    if isinstance(node, ast.ClassDef):
                        self.classes[package, node.name] = node
                    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
                        for target in node.targets:
                            if isinstance(target, ast.Name):
                                self.aliases[target.id] = node.value.id

    def find(self, package: str, name: str) -> tuple[str, str] | None:
        """A class by name, the own package's first."""
        candidates = [(package, name), ("transformers", name), ("transformers", self.aliases.get(name, ""))]
        return next((candidate for candidate in candidates if candidate in self.classes), None)

    def members(self, where: tuple[str, str]) -> dict[str, Any]:
        """The members of an enumeration: name -> value."""
        found = {}
        for statement in self.classes[where].body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                found[statement.targets[0].id] = ast.literal_eval(statement.value)
        return found

    def value(self, package: str, node: ast.expr) -> Any:
        """What an expression is, if it is a literal, a product or an enumeration's member; else ``COMPUTED``."""
        if isinstance(node, ast.Attribute) and (where := self.find(package, ast.unparse(node.value))):
            return self.members(where)[node.attr]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            return self.value(package, node.left) * self.value(package, node.right)
        try:
            return ast.literal_eval(node)
        except ValueError:
            return COMPUTED
