"""The command line of ``lf-registry merge``: options to a request, a result to lines of text."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from ..errors import WrongUsage
from .resolve import Request, bytes_of, request_from_recipe
from .run import run_merge


def merge(
    adapter: list[str],
    *,
    out: Path | None,
    base: str | None,
    template: str | None,
    dtype: str | None,
    max_shard_size: str | None,
    revision: str | None,
    verify: str,
    threads: int | None,
    overwrite: bool,
) -> None:
    """Run the verb and print what it did and what to run next.

    Raises:
        UserError: see ``run_merge``.
    """
    given = {
        "out": out,
        "base": base,
        "template": template,
        "dtype": dtype,
        "max_shard_size": bytes_of(max_shard_size) if max_shard_size else None,
        "revision": revision,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    if adapter[0].endswith((".yaml", ".yml")):
        to = [] if out is None else [f"export_dir={out}"]
        request = replace(request_from_recipe(adapter[0], [*adapter[1:], *to]), **changes)  # type: ignore[arg-type]
    else:
        if out is None:
            raise WrongUsage("--out DIR is missing: where the merged model goes")
        request = Request(tuple(adapter), **changes)  # type: ignore[arg-type]
    result = run_merge(request, threads=threads, verify=verify, overwrite=overwrite)
    for note in result.notes:
        print(f"note: {note}")
    report = result.report
    speed = report["bytes"] / 1e9 / max(result.seconds, 1e-9)
    print(f"wrote {result.out}: {report['parameters']:,} parameters in {result.seconds:.1f} s ({speed:.1f} GB/s)")
    print(f"verified: {_verified(report)}")
    out, name = shlex.quote(str(result.out)), report["template"] or "NAME"
    print(f"next: llamafactory-cli chat --model_name_or_path {out} --template {name}")


def _verified(report: dict) -> str:
    if report["verified"] == "none":
        return "nothing (--verify none)"
    tensors = report["tensors"]
    text = f"{tensors['tensors_merged']} tensors merged, "
    text += f"{tensors['tensors_copied']} equal to the base byte by byte, all finite"
    if "logits" in report:
        logits = report["logits"]
        text += f"; logits within {logits['distance']:.2%} of base + adapter (at most {logits['tolerance']:.2%})"
    return text
