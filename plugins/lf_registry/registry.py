"""A folder of YAML files as a registry: the file is the registration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .errors import UserError


class _UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader, which silently keeps the last of two equal keys, made to refuse them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key if isinstance(key, str) else id(key_node))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping.

    Raises:
        UserError: names file, line and column of what is wrong (syntax, a key twice, not UTF-8, not a mapping).
    """
    text = ""
    try:
        text = path.read_text(encoding="utf-8-sig")
        value = yaml.load(text, Loader=_UniqueKeyLoader)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{path}{where}: {_what_is_wrong(error, text)}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date such as 2024-13-45
        raise UserError(f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: must hold `key: value` lines, holds {type(value).__name__}")
    return value


def _what_is_wrong(error: yaml.MarkedYAMLError, text: str) -> str:
    """PyYAML's words, with where a quote or bracket was opened; its words for a tab do not name it."""
    mark, began, lines = error.problem_mark, error.context_mark, text.split("\n")
    if mark and mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t":
        return "there is a tab, and YAML takes only spaces there: replace it with as many as the lines around it have"
    if error.context and str(error.problem).startswith("but "):  # the second half of a sentence
        return f"{error.context}, {error.problem}"
    if mark and began and began.line < mark.line:
        return f"{error.problem} {error.context} that begins in line {began.line + 1}"
    return str(error.problem or error.context)


def yaml_files(folder: Path) -> Iterator[Path]:
    """The YAML files directly in ``folder``, sorted by name; nothing when there is no such folder."""
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix in (".yaml", ".yml") and path.is_file() and not path.name.startswith("."):
                yield path
