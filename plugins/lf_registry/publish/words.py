"""What a publication says of itself: the folder, the files that go up, and those that stay here."""

from __future__ import annotations

from collections.abc import Iterator

from .prepare import Prepared, base_named_in


def files(count: int) -> str:
    """``1 file``, ``2 files``."""
    return f"{count} file{'s'[: count != 1]}"


def describe(prepared: Prepared) -> Iterator[str]:
    """What the folder is, as one line, and what the user should know."""
    artifact = prepared.artifact
    named = base_named_in(prepared.card)
    base = f", trained from {named}" if named else ""
    count = len(artifact.checkpoints)
    more = f"; {count} checkpoint{'s'[: count != 1]} beside it" if count else ""
    yield f"{artifact.folder}: {artifact.noun}{base}{more}"
    for note in prepared.notes:
        yield f"note: {note}"


def listing(prepared: Prepared) -> Iterator[str]:
    """What would go up, with sizes, and what would not, with the reason."""
    width = max((len(upload.remote) for upload in prepared.uploads), default=0)
    for upload in prepared.uploads:
        made = "  (made here)" if upload.local is None else "  (paths replaced)" if upload.content is not None else ""
        yield f"  {upload.remote:{width}}  {upload.size:>15,} bytes{made}"
    yield f"{files(len(prepared.uploads))}, {prepared.collection.size:,} bytes"
    for name, branch in prepared.checkpoints.items():
        yield f"as the branch {name}: {files(len(branch.uploads))}, {branch.size:,} bytes"
    if prepared.collection.left_out:
        yield "stay here:"
    for out in prepared.collection.left_out:
        pushed = out.path.rstrip("/") in prepared.checkpoints
        yield f"  {out.path}: {'goes up as a branch of its own' if pushed else out.why}"
