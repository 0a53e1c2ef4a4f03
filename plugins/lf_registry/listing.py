"""``lf-registry list``: tables of what there is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from .errors import UserError

Row = dict[str, str]


def _relative(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def templates() -> list[Row]:
    """Our templates and where each is defined."""
    from .templates import load_templates

    return [
        {
            "name": template.name,
            "format": template.builtin or "own",
            "description": template.spec.description,
            "file": _relative(template.path),
        }
        for template in load_templates().values()
    ]


def datasets() -> list[Row]:
    """The datasets of all data roots."""
    from .dataset_info import known_datasets

    rows = []
    for name, (root, entry) in known_datasets().items():
        source = str(entry["file_name"]) if "file_name" in entry else None
        file = _relative(root / source) if source else str(next(iter(entry.values()), ""))
        missing = "" if not source or (root / source).exists() else " (missing)"
        rows.append({"name": name, "format": entry.get("formatting", "alpaca"), "file": file + missing})
    return rows


def recipes() -> list[Row]:
    """The training recipes of all data roots."""
    from .recipes import known_recipes, read_recipe

    rows = []
    for path in known_recipes():
        values = read_recipe(path).values
        method = values.get("finetuning_type", "lora")
        if values.get("quantization_bit"):
            method = f"{values['quantization_bit']}-bit {method}"
        rows.append(
            {
                "recipe": str(path),
                "model": str(values.get("model_name_or_path")),
                "method": str(method),
                "template": str(values.get("template")),
                "dataset": str(values.get("dataset")),
            }
        )
    return rows


def models() -> list[Row]:
    """The models that the web UI offers because of us."""
    from .models import load_models

    return [{"name": name, "path": model.path, "template": model.template} for name, model in load_models().items()]


LISTS: dict[str, Callable[[], list[Row]]] = {
    "templates": templates,
    "datasets": datasets,
    "recipes": recipes,
    "models": models,
}


def collect(kinds: list[str]) -> tuple[dict[str, list[Row]], list[str]]:
    """The tables asked for, and the problems of those that cannot be made: one broken file does not hide the rest."""
    tables, problems = {}, []
    for kind in kinds:
        try:
            tables[kind] = LISTS[kind]()
        except UserError as error:
            problems += error.problems
    return tables, problems


def print_tables(tables: dict[str, list[Row]], *, as_json: bool) -> None:
    """Print tables; names are never cut off, so that they can be copied."""
    if as_json:
        value = next(iter(tables.values())) if len(tables) == 1 else tables
        print(json.dumps(value, ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 240)
    for title, rows in tables.items():
        if len(tables) > 1:
            console.print(f"[bold]{title}[/bold]")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in rows[0] if rows else []:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(value) for value in row.values()))
        console.print(table if rows else "none")
        if len(tables) > 1:
            console.print()
