"""The command line of ``recipes/runpod/job.sh``, which starts this as ``python -m lf_registry.job``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..errors import WrongUsage
from ..leave import run
from .request import Request

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def job(
    recipe: Annotated[str, typer.Argument(help="A training recipe.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="As in training; export_dir=... for the merge.")
    ] = None,
    merge: Annotated[str | None, typer.Option(help="Then merge with this recipe (recipes/merge/*.yaml).")] = None,
    publish: Annotated[str | None, typer.Option(help="Then publish as this Hub id, private.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Publish for everyone.")] = False,
    license: Annotated[
        str | None, typer.Option(help="For the card, when the base model's licence is not known.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Then stop the pod, also after a failure.")] = False,
    terminate: Annotated[
        bool,
        typer.Option("--terminate", help="Then delete the pod; only when all is published or on a network volume."),
    ] = False,
    grace: Annotated[str, typer.Option(help="After a failure, wait so long before the pod stops: 90s, 5m, 1h.")] = "5m",
    price: Annotated[
        float | None, typer.Option(min=0, help="Dollars an hour of this pod; by the price list when left out.")
    ] = None,
    volume: Annotated[
        Path | None, typer.Option(help="What outlives the container; /workspace when a disk is mounted there.")
    ] = None,
    network_volume: Annotated[
        bool, typer.Option("--network-volume", help="The volume outlives the pod too (RunPod's is recognized).")
    ] = False,
    volume_size: Annotated[
        str | None, typer.Option(help="What was rented (200GB), where the disk shows the size of the whole storage.")
    ] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on with a recipe that was changed since the training began.")
    ] = False,
) -> None:
    """Check, train, merge, publish, stop the pod. Run it again after any interruption: it goes on where it stopped.

    Exit codes: 0 done, 1 a stage failed, 2 wrong usage, 75 stopped by SIGTERM or Ctrl-C: run it again.
    """
    from ..estimate.disk import parse_size
    from .run import run_job

    size = None
    if volume_size is not None:
        try:
            size = parse_size(volume_size)
        except WrongUsage:
            raise WrongUsage(f"--volume-size {volume_size!r}: write a size such as 200GB or 1TB") from None
    request = Request(
        recipe,
        tuple(overrides or ()),
        merge=merge,
        publish=publish,
        public=public,
        license=license,
        stop=stop,
        terminate=terminate,
        price=price,
        volume=volume,
        network_volume=network_volume,
        volume_size=size,
        accept_changes=accept_changes,
    )
    raise typer.Exit(run_job(request, os.environ))


def main() -> None:
    """Run it; a ``UserError`` becomes one message and its exit code."""
    run(app, "job.sh")


if __name__ == "__main__":
    main()
