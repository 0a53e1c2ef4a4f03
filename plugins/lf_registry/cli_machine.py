"""The verbs about this machine: one thin function per verb; what is slow to import is imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    output: Annotated[Path, typer.Option(help="Where runs write (output_dir).", file_okay=False)] = Path("outputs"),
    full: Annotated[
        bool, typer.Option("--full", help="Also import LLaMA-Factory and torch in a child process (10 s).")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a page.")] = False,
) -> None:
    """One page on this machine: versions, GPU, disks, token, plugin. Exit code 1: something will break a run."""
    from .doctor.command import doctor as run

    raise typer.Exit(run(output=output, as_json=json, full=full))
