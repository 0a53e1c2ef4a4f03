"""The verbs that ask questions of a recipe: one thin function per verb; what is slow to import is imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import WrongUsage


def check(
    recipe: Annotated[str, typer.Argument(help="A LLaMA-Factory training recipe.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="As in training.")] = None,
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


def estimate(
    recipe: Annotated[Path | None, typer.Argument(help="A training recipe.", show_default=False)] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes of the recipe.", show_default=False)
    ] = None,
    gpus: Annotated[
        str | None, typer.Option(help="A count and a type: 2xA100-80GB, or what nvidia-smi prints.")
    ] = None,
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
