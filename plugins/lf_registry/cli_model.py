"""The verbs for what a training wrote: one thin function per verb; what is slow to import is imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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


def export_adapter(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint-N folder with ZeRO partitions.", file_okay=False)],
    out: Annotated[Path | None, typer.Option(help="Where to write; into the checkpoint when left out.")] = None,
) -> None:
    """Rebuild the adapter of a ZeRO-3 checkpoint that has only partitions."""
    from .merge.export_adapter import export_adapter as run

    print("\n".join(run(checkpoint, out)))


def demo(
    folder: Annotated[Path, typer.Argument(help="An adapter or a merged model.", file_okay=False)],
    base: Annotated[str | None, typer.Option(help="Folder or Hub id; from the folder when left out.")] = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
) -> None:
    """Chat with a model before and after its training, side by side, in the browser."""
    from .chat_page.command import demo as run

    raise typer.Exit(run(folder, base=base, host=host, port=port))
