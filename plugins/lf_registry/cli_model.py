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


def publish(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="An adapter, a merged or full model, or a training's output.")],
    repo_id: Annotated[str, typer.Argument(help="NAMESPACE/NAME on the Hub; your own namespace when left out.")],
    public: Annotated[
        bool, typer.Option("--public", help="Show it to everyone, once all of it is there and verified.")
    ] = False,
    recipe: Annotated[str | None, typer.Option(help="The recipe it was trained with, for the card.")] = None,
    revision: Annotated[
        str | None, typer.Option(help="A branch, made when it is not there; else the main one.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Name the commit, after it is verified: v1.0.")] = None,
    license: Annotated[
        str | None, typer.Option(help="The licence's identifier, when the base model's is not known.")
    ] = None,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Also each checkpoint-N, as a branch of that name.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go up.")] = False,
    card_only: Annotated[
        bool, typer.Option("--card-only", help="Upload the model card alone; with --dry-run print it.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE:LINE", help="A harmless place that the search for secrets and paths found."),
    ] = None,
    token: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Publish an adapter or a model on the Hugging Face Hub: private, complete and verified; can be run again."""
    from .publish.command import publish_and_print
    from .publish.request import Request

    request = Request(
        folder,
        repo_id,
        public=public,
        recipe=recipe,
        revision=revision,
        tag=tag,
        license=license,
        checkpoints=checkpoints,
        dry_run=dry_run,
        card_only=card_only,
        allow=tuple(allow or ()),
    )
    publish_and_print(request, token=token, more=context.args)


def demo(
    folder: Annotated[Path, typer.Argument(help="An adapter or a merged model.", file_okay=False)],
    base: Annotated[str | None, typer.Option(help="Folder or Hub id; from the folder when left out.")] = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
) -> None:
    """Chat with a model before and after its training, side by side, in the browser."""
    from .chat_page.command import demo as run

    raise typer.Exit(run(folder, base=base, host=host, port=port))
