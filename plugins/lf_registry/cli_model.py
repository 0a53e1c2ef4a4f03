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


def compare(
    tuned: Annotated[
        str | None, typer.Option(help="The adapter or model after the training: folder or Hub id.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="The model before it; from the adapter when left out.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; a run that was cut off goes on there.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="Datasets to ask from; the trained ones first.")] = None,
    held_out: Annotated[list[str] | None, typer.Option(help="Datasets that were not trained on: over-fitting.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="A file of prompts instead: text lines, .jsonl or .json.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="A training recipe, for everything that is left out.")] = None,
    dataset_dir: Annotated[str | None, typer.Option(help="The folder of dataset_info.json.")] = None,
    max_samples: Annotated[int | None, typer.Option(help="Only so many prompts of each dataset.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="exact_match, f1, rouge, chrf; mae, rmsle, within_20 (prices); accuracy, macro_f1 (labels)."),
    ] = None,
    template: Annotated[str | None, typer.Option(help="For a model without a saved chat template.")] = None,
    same_template: Annotated[bool, typer.Option("--same-template", help="Ask the base as the tuned model.")] = False,
    max_new_tokens: Annotated[int, typer.Option(help="Where an answer is cut off.")] = 256,
    temperature: Annotated[float, typer.Option(help="0: the likeliest token every time.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="With a temperature: sample among the likeliest.")] = 1.0,
    seed: Annotated[int, typer.Option(help="With a temperature: of the random numbers.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Prompts, or requests, at once.")] = 8,
    dtype: Annotated[str, typer.Option(help="auto (as saved), bfloat16, float16 or float32.")] = "auto",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the Python code that a model brings.")
    ] = False,
    api: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server; --base and --tuned are its models' names.")
    ] = None,
    api_tuned: Annotated[str | None, typer.Option(help="Another server, of the tuned model.")] = None,
    judge: Annotated[str | None, typer.Option(help="An OpenAI-compatible server that judges the pairs.")] = None,
    judge_model: Annotated[str | None, typer.Option(help="The judge's name there.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 when a metric got worse.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Ask everything again.")] = False,
) -> None:
    """Ask a model before and after its training the same questions: numbers, and one page.

    A key for a server is read from OPENAI_API_KEY.
    """
    from .compare.command import run

    options = dict(locals(), most=max_samples, metrics=metric)
    left = {"max_samples", "metric", "recipe", "strict", "run"}
    options = {key: value for key, value in options.items() if key not in left}
    code = run(options, recipe=recipe, strict=strict)
    if code:
        raise typer.Exit(code)
