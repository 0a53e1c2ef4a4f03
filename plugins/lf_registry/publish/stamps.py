"""Whether a file is still the one that was looked at: what was written later was searched by nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import UserError
from .artifact import Upload

#: Size and time of the last write (nanoseconds); None for content that was made here, and for a file that is gone.
Stamp = tuple[int, int] | None


def stamps_of(uploads: Sequence[Upload]) -> dict[str, Stamp]:
    """How the files were when they were collected, by their paths in the repository."""
    return {
        upload.remote: _stamp(upload) if upload.modified is None else (upload.size, upload.modified)
        for upload in uploads
    }


def refuse_changed(uploads: Sequence[Upload], stamps: Mapping[str, Stamp]) -> None:
    """Stop when a file is not as it was.

    Raises:
        UserError: names the files.
    """
    changed = [upload.remote for upload in uploads if _stamp(upload) != stamps[upload.remote]]
    if changed:
        raise UserError(
            f"{', '.join(changed)}: changed while this command ran, so it is not what was checked",
            hint="run the same command again when nothing writes to the folder",
        )


def _stamp(upload: Upload) -> Stamp:
    if upload.content is not None or upload.local is None:
        return None
    try:
        state = upload.local.stat()
    except FileNotFoundError:
        return None
    return state.st_size, state.st_mtime_ns
