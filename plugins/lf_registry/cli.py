"""The ``lf-registry`` command: one thin function per verb; what is slow to import is imported inside."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import listing
from .errors import UserError, WrongUsage

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
    print(f"  llamafactory-cli train recipes/{name}_lora.yaml")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="The file to read.")],
    name: Annotated[str, typer.Option(help="The dataset's name in a recipe.")],
    format: Annotated[
        str | None, typer.Option(help="marker, delimited, csv, tsv, json or jsonl; recognized when left out.")
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
    """Convert marked text, delimited lines, CSV, TSV, JSON or JSONL to a dataset that recipes can name."""
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
def check(
    recipe: Annotated[str, typer.Argument(help="A LLaMA-Factory training recipe.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="As in training.")] = None,
    data: Annotated[bool, typer.Option("--data/--no-data", help="Also check model, template and data.")] = True,
    preview: Annotated[int, typer.Option(min=0, help="Show so many rows, with what is trained on.")] = 0,
    ids: Annotated[bool, typer.Option("--ids", help="With --preview: the token ids too.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes for the data; one per core for 2,000 rows and more.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a report.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the report as one HTML page.", dir_okay=False)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are problems too (exit code 1).")] = False,
) -> None:
    """Check a recipe, its model folder, template and every row of its data, before paying for a GPU."""
    from .check.run import run_check
    from .check.show import check_writable, show_report
    from .network import stay_offline_without_network

    if ids and not preview:
        raise WrongUsage("--ids goes with --preview N")
    if preview and not data:
        raise WrongUsage("--preview needs the data, which --no-data leaves out")
    if html is not None:
        check_writable(html)
    if data:
        stay_offline_without_network()
    report = run_check(recipe, overrides or (), data=data, previews=preview, workers=workers)
    show_report(report, as_json=json, html=html, ids=ids)
    if report.errors or (strict and report.warnings):
        raise typer.Exit(1)


@app.command()
def estimate(
    recipe: Annotated[Path | None, typer.Argument(help="A training recipe.", show_default=False)] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes of the recipe.", show_default=False)
    ] = None,
    gpus: Annotated[str | None, typer.Option(help="A count and a type: 2xA100-80GB.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every GPU type and count, cheapest first.")] = False,
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    tokens: Annotated[int | None, typer.Option(help="Tokens of one epoch, when they are known.")] = None,
    check: Annotated[Path | None, typer.Option(help="A saved `lf-registry check RECIPE --json`.")] = None,
    prices: Annotated[Path | None, typer.Option(help="Your prices and GPUs (YAML, the form of gpus.yaml).")] = None,
    disk: Annotated[str | None, typer.Option(help="Size of the volume: 200GB.")] = None,
    measured: Annotated[Path | None, typer.Option(help="Compare with runs that benchmarks/memory.py measured.")] = None,
) -> None:
    """Estimate a recipe's memory, time, cost and disk, without a GPU. Exit code 1: it does not fit."""
    from .estimate.command import estimate as run

    code = run(
        recipe,
        overrides or (),
        gpus=gpus,
        everything=everything,
        as_data=as_data,
        tokens=tokens,
        check=check,
        prices=prices,
        disk=disk,
        measured=measured,
    )
    raise typer.Exit(code)


@app.command()
def merge(
    adapter: Annotated[list[str], typer.Argument(help="Adapters (folder or Hub id), or one recipes/merge/*.yaml.")],
    out: Annotated[Path | None, typer.Option(help="The folder to write.", file_okay=False)] = None,
    base: Annotated[str | None, typer.Option(help="Folder or Hub id; from the adapter when left out.")] = None,
    template: Annotated[str | None, typer.Option(help="Chat template to save with the model.")] = None,
    dtype: Annotated[str | None, typer.Option(help="bfloat16, float16 or float32; the base's when left out.")] = None,
    max_shard_size: Annotated[str | None, typer.Option(help="Split larger weight files: 5GB.")] = None,
    revision: Annotated[str | None, typer.Option(help="Of the base on the Hub.")] = None,
    verify: Annotated[
        str, typer.Option(help="none, tensors, logits, or auto: logits below 2 B parameters, else tensors.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="One per core, at most 4, when left out.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a finished model.")] = False,
) -> None:
    """Merge adapters into their base: at the speed of copying it, in bounded memory, bit for bit as PEFT."""
    from .merge.command import merge as run

    run(
        adapter,
        out=out,
        base=base,
        template=template,
        dtype=dtype,
        max_shard_size=max_shard_size,
        revision=revision,
        verify=verify,
        threads=threads,
        overwrite=overwrite,
    )


@app.command("export-adapter")
def export_adapter(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint-N folder with ZeRO partitions.", file_okay=False)],
    out: Annotated[Path | None, typer.Option(help="Where to write; into the checkpoint when left out.")] = None,
) -> None:
    """Rebuild the adapter of a ZeRO-3 checkpoint that has only partitions."""
    from .merge.export_adapter import export_adapter as run

    print("\n".join(run(checkpoint, out)))


def main() -> None:
    """Run the command; a ``UserError`` becomes one message and its exit code."""
    try:
        app(prog_name="lf-registry")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
