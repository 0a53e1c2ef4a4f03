"""Send files in one commit, so that a revision is complete or not there; what the Hub has already is not sent again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UserError
from .artifact import Upload
from .remote import Remote, differences, is_same, remote_files
from .retry import call

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

#: Files whose leftovers from an earlier upload would make the repository mean something else.
_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".gguf")

#: Files below so many bytes are sent together.
_SMALL = 8_000_000


@dataclass(frozen=True)
class Sent:
    """What an upload did.

    Attributes:
        commit: the revision that holds exactly these files.
        sent: paths that were uploaded.
        known: paths that the Hub had already.
        removed: weight files of an earlier upload that are no longer part of it.
        bytes: of the files that were uploaded.
    """

    commit: str
    sent: tuple[str, ...]
    known: tuple[str, ...]
    removed: tuple[str, ...]
    bytes: int


def send(
    api: HfApi, repo_id: str, uploads: Sequence[Upload], *, revision: str | None, message: str, only: bool = False
) -> Sent:
    """Upload, commit, and compare every file on the Hub with the local one.

    Args:
        api: the client.
        repo_id: an existing repository.
        uploads: the files.
        revision: a branch that exists; the main one when None.
        message: of the commit.
        only: the files are not all of the repository: nothing else there is removed.

    Raises:
        UserError: the Hub could not be reached for long, refused the upload, or holds something else afterwards.
    """
    from huggingface_hub import CommitOperationDelete

    stamps = {upload.remote: _stamp(upload) for upload in uploads}
    operations = [_operation(upload) for upload in uploads]
    before = remote_files(api, repo_id, revision)
    todo = [operation for operation in operations if not is_same(operation, before.get(operation.path_in_repo))]
    removed = [] if only else _leftovers(before, uploads)
    if todo or removed:
        _preupload(api, repo_id, todo, revision)
        gone = [CommitOperationDelete(path, is_folder=False) for path in removed]
        commit = _commit(api, repo_id, [*todo, *gone], revision, message)
    else:
        commit = call(f"reading {repo_id}", api.repo_info, repo_id, revision=revision).sha
    changed = [upload.remote for upload in uploads if _stamp(upload) != stamps[upload.remote]]
    if changed:
        raise UserError(
            f"{', '.join(changed)}: changed while it was uploaded, so nobody knows what the Hub has",
            hint="run the same command again when nothing writes to the folder",
        )
    wrong = differences(operations, remote_files(api, repo_id, commit))
    if wrong:
        raise UserError(wrong, hint="run the same command again; did someone else publish there at the same time?")
    sent = {operation.path_in_repo for operation in todo}
    return Sent(
        commit,
        tuple(sorted(sent)),
        tuple(sorted({upload.remote for upload in uploads} - sent)),
        tuple(removed),
        sum(upload.size for upload in uploads if upload.remote in sent),
    )


def _operation(upload: Upload) -> CommitOperationAdd:
    from huggingface_hub import CommitOperationAdd

    content = upload.content if upload.content is not None else upload.local
    assert content is not None, upload.remote
    return CommitOperationAdd(path_in_repo=upload.remote, path_or_fileobj=content)


def _stamp(upload: Upload) -> tuple[int, int] | None:
    if upload.content is not None or upload.local is None:
        return None
    state = upload.local.stat()
    return state.st_size, state.st_mtime_ns


def _leftovers(before: dict[str, Remote], uploads: Sequence[Upload]) -> list[str]:
    """Weight files on the Hub that the folder does not have: an old shard beside new ones would be counted."""
    ours = {upload.remote for upload in uploads}
    return sorted(path for path in before if path.endswith(_WEIGHTS) and "/" not in path and path not in ours)


def _preupload(api: HfApi, repo_id: str, operations: Sequence[CommitOperationAdd], revision: str | None) -> None:
    """Send large files one by one: a failure costs the rest of one file, and the message can name it."""
    small = [operation for operation in operations if operation.upload_info.size < _SMALL]
    groups = [small] if small else []
    groups += [[operation] for operation in operations if operation.upload_info.size >= _SMALL]
    for group in groups:
        what = group[0].path_in_repo if len(group) == 1 else f"{len(group)} small files"
        call(f"uploading {what}", api.preupload_lfs_files, repo_id, group, revision=revision, free_memory=False)


def _commit(api: HfApi, repo_id: str, operations: list, revision: str | None, message: str) -> str:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        info = call(
            f"committing to {repo_id}",
            api.create_commit,
            repo_id,
            operations,
            commit_message=message,
            revision=revision,
        )
    except HfHubHTTPError as error:
        if error.response.status_code not in (400, 403, 409, 412, 413):
            raise
        said = str(error).strip().splitlines()[-1]
        raise UserError(f"{repo_id}: the Hub refused the commit: {said}", hint=_refused(error)) from None
    return info.oid


def _refused(error: Exception) -> str:
    status = error.response.status_code  # type: ignore[attr-defined]
    if status in (409, 412):
        return "someone else committed at the same time; run the same command again"
    if status == 403:
        return "look at the quota and the rights of the namespace: https://huggingface.co/settings/billing"
    return "correct what it says, and run the same command again"


def show_progress() -> None:
    """Turn the client's progress bars off when nobody looks at a terminal."""
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
