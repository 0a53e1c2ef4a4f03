"""The ``lf-registry`` command: one thin function per verb; what is slow to import is imported inside."""

from __future__ import annotations

from . import interrupt  # first: the imports below take a tenth of a second, in which somebody may press Ctrl-C

# isort: split
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import listing
from .cli_machine import doctor
from .cli_model import compare, demo, export_adapter, merge, publish
from .cli_recipe import check, estimate
from .errors import UserError
from .leave import run

app = typer.Typer(
    name="lf-registry",
    help="Chat templates, datasets and recipes for stock LLaMA-Factory.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
show = typer.Typer(help="Show one template.", no_args_is_help=True)
new = typer.Typer(help="Write the files of something new, ready to edit.", no_args_is_help=True)
app.add_typer(show, name="show")
app.add_typer(new, name="new")
app.command()(check)
app.command()(estimate)
app.command()(merge)
app.command()(doctor)
app.command("export-adapter")(export_adapter)
app.command(context_settings={"allow_extra_args": True})(publish)
app.command()(compare)
app.command()(demo)


class Kind(StrEnum):
    """What ``list`` lists."""

    templates = "templates"
    datasets = "datasets"
    recipes = "recipes"
    models = "models"


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"lf-registry {version('lf-registry')}, LLaMA-Factory {version('llamafactory')}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the versions.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Chat templates, datasets and recipes for stock LLaMA-Factory."""


@app.command("list")
def list_(
    kind: Annotated[Kind | None, typer.Argument(help="What to list; everything when left out.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the templates, datasets, recipes and models that LLaMA-Factory knows because of this registry."""
    kinds = [kind] if kind else list(Kind)
    tables, problems = listing.collect([name.value for name in kinds])
    listing.print_tables(tables, as_json=json)
    if problems:
        raise UserError(problems)


@show.command("template")
def show_template(
    name: Annotated[str, typer.Argument(help="One of `lf-registry list templates`.")],
    jinja: Annotated[bool, typer.Option("--jinja", help="Print the Jinja chat template.")] = False,
    masks: Annotated[
        bool, typer.Option("--masks", help="With --jinja: mark what is trained on ({% generation %}).")
    ] = False,
    modelfile: Annotated[bool, typer.Option("--modelfile", help="Print the Ollama Modelfile.")] = False,
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder or Hub id: write its tokens as text instead of as variables.")
    ] = None,
) -> None:
    """Show a template file, or what is made from it."""
    from .show import template_text

    sys.stdout.write(template_text(name, jinja=jinja, masks=masks, modelfile=modelfile, tokenizer=tokenizer))


@new.command("persona")
def persona(
    name: Annotated[str, typer.Argument(help="The name of the template, the dataset and the recipes.")],
    extends: Annotated[str, typer.Option(help="The model's chat format: llama3, qwen, ...")],
    model: Annotated[str | None, typer.Option(help="What the recipe trains: a Hub id or a folder.")] = None,
    root: Annotated[Path, typer.Option(help="Where to write.", file_okay=False)] = Path(),
) -> None:
    """Write a template, an empty dataset with its entry, and recipes for training and merging; never overwrites."""
    from .new_persona import new_persona

    paths, trained = new_persona(name, extends, root=root, model=model)
    for path in paths:
        print(f"wrote {path}")
    print(f"the recipe trains {trained}; for another model change model_name_or_path in both recipes")
    print(f"next: edit templates/{name}.yaml and fill datasets/{name}.json, then:")
    if root != Path():
        print(f"  cd {root}")
    print(f"  lf-registry check recipes/{name}_lora.yaml")
    print(f"  llamafactory-cli train recipes/{name}_lora.yaml")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="The file to read.")],
    name: Annotated[str, typer.Option(help="The dataset's name in a recipe.")],
    format: Annotated[
        str | None, typer.Option(help="marker, delimited, csv, tsv, json, jsonl or squad; recognized when left out.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Which column is what: prompt=Q,response=A[,query=,system=].")
    ] = None,
    markers: Annotated[tuple[str, str], typer.Option(help="The texts in front of a question and of an answer.")] = (
        "<|question|>",
        "<|answer|>",
    ),
    delimiter: Annotated[
        str | None, typer.Option(help="Between question and answer (' | '), or between CSV columns.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="utf-8, cp949, utf-16, ...; recognized when left out.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out unusable examples instead of stopping.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a dataset of this name.")] = False,
    root: Annotated[Path, typer.Option(help="The folder of dataset_info.json.", file_okay=False)] = Path(),
) -> None:
    """Convert marked text, delimited lines, CSV, TSV, JSON, JSONL or SQuAD to a dataset that recipes can name."""
    from .convert import convert as run
    from .convert_options import ReadOptions, parse_columns
    from .convert_report import report_lines

    options = ReadOptions(markers=markers, delimiter=delimiter, columns=parse_columns(columns))
    report = run(
        source,
        name,
        root=root,
        format=format,
        options=options,
        encoding=encoding,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    print("\n".join(report_lines(report, name)))


@app.command()
def stats(
    dataset: Annotated[str, typer.Argument(help="One of `lf-registry list datasets`.")],
    tokenizer: Annotated[str | None, typer.Option(help="Folder or Hub id: count its tokens too.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    plots: Annotated[Path | None, typer.Option(help="Also write SVG plots into this folder.", file_okay=False)] = None,
    root: Annotated[Path | None, typer.Option(help="The folder of dataset_info.json.", file_okay=False)] = None,
) -> None:
    """Measure a dataset: lengths, special characters, and where the answers stand in their contexts."""
    from .stats.command import stats as run

    run(dataset, root=root, tokenizer=tokenizer, as_json=json, plots=plots)


def main() -> None:
    """Run the command; a ``UserError`` becomes one message and its exit code."""
    run(app, "lf-registry")


interrupt.over()
