"""Send files in one commit, so that a revision is complete or not there; what the Hub has already is not sent again."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UserError
from .allowed import is_allowed
from .artifact import Upload
from .failures import said, status_of
from .remote import Remote, differences, is_same, remote_files
from .retry import backoff, call
from .stamps import refuse_changed, stamps_of

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

#: Endings of weight files: a shard of an earlier upload beside new ones would be counted.
_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".gguf")
#: What may have been put there by hand, and has no meaning for a program.
_TERMS = ("LICENSE", "NOTICE", "USE_POLICY")
#: How often another publisher may be quicker.
_MEETINGS = 6


@dataclass(frozen=True)
class Sent:
    """What an upload did.

    Attributes:
        commit: the revision that holds exactly these files.
        sent: paths that were uploaded.
        known: paths that the Hub had already.
        removed: files of an earlier upload that are no longer part of it.
        bytes: of the files that were uploaded.
    """

    commit: str
    sent: tuple[str, ...]
    known: tuple[str, ...]
    removed: tuple[str, ...]
    bytes: int


def send(
    api: HfApi,
    repo_id: str,
    uploads: Sequence[Upload],
    *,
    revision: str | None,
    message: str,
    only: bool = False,
    tagged: Mapping[str, Remote] | None = None,
) -> Sent:
    """Upload, commit, and compare every file on the Hub with the local one.

    The commit is made on top of the one that was compared with: when another publisher was quicker, or an answer was
    lost, what is there then is compared anew. So nothing is mixed, and nothing is committed twice.

    Args:
        api: the client.
        repo_id: an existing repository.
        uploads: the files.
        revision: a branch that exists; the main one when None.
        message: of the commit.
        only: the files are not all of the repository: nothing else there is removed.
        tagged: the files of the commit that has the wanted tag already, if one has it.

    Raises:
        UserError: the Hub could not be reached for long, refused the upload, or holds something else afterwards.
    """
    stamps = stamps_of(uploads)
    operations = _operations(uploads)
    refuse_changed(uploads, stamps)
    if tagged is not None and (wrong := differences(operations, dict(tagged))):
        raise UserError(
            [f"the tag names an earlier commit, which holds something else: {line}" for line in wrong],
            hint="name another --tag; a tag that moves would change what others have pinned",
        )
    sent: set[str] = set()
    gone: set[str] = set()
    for attempt in range(1, _MEETINGS + 1):
        head = call(f"reading {repo_id}", api.repo_info, repo_id, revision=revision).sha
        before = remote_files(api, repo_id, head)
        todo = [operation for operation in operations if not is_same(operation, before.get(operation.path_in_repo))]
        removed = [] if only else _leftovers(before, uploads)
        if not todo and not removed:
            commit = head
            break
        sent |= {operation.path_in_repo for operation in todo}
        gone |= set(removed)
        try:
            _preupload(api, repo_id, todo, revision)
        finally:
            refuse_changed(uploads, stamps)  # also when that is why the upload failed
        made = _commit(api, repo_id, todo, removed, revision, message, head)
        if made is not None:
            commit = made
            break
        time.sleep(backoff(attempt) / 4)
        operations = [_again(operation) for operation in operations]
    else:
        raise UserError(
            f"{repo_id}: someone else commits to it all the time; {_MEETINGS} tries met another commit",
            hint="run the same command again when the others have finished",
        )
    refuse_changed(uploads, stamps)
    wrong = differences(operations, remote_files(api, repo_id, commit))
    if wrong:
        raise UserError(wrong, hint="run the same command again; did someone else publish there at the same time?")
    return Sent(
        commit,
        tuple(sorted(sent)),
        tuple(sorted({upload.remote for upload in uploads} - sent)),
        tuple(sorted(gone)),
        sum(upload.size for upload in uploads if upload.remote in sent),
    )


def _operations(uploads: Sequence[Upload]) -> list[CommitOperationAdd]:
    """What to add, in the same order. The client hashes each file once, here: several at a time, for it takes long."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(_operation, uploads))


def _operation(upload: Upload) -> CommitOperationAdd:
    from huggingface_hub import CommitOperationAdd

    content = upload.content if upload.content is not None else upload.local
    assert content is not None, upload.remote
    return CommitOperationAdd(path_in_repo=upload.remote, path_or_fileobj=content)


def _again(operation: CommitOperationAdd) -> CommitOperationAdd:
    """The same operation as new: the client notes in it what the Hub said about a commit that was not made."""
    from huggingface_hub import CommitOperationAdd

    new = CommitOperationAdd(path_in_repo=operation.path_in_repo, path_or_fileobj=operation.path_or_fileobj)
    new.upload_info = operation.upload_info  # the hash is known
    return new


def _leftovers(before: Mapping[str, Remote], uploads: Sequence[Upload]) -> list[str]:
    """Files on the Hub of the kinds that are published, and that the folder does not have: programs would load them.

    A shard of an earlier upload, the ``adapter_config.json`` beside what is a merged model now. What people add by hand
    (pictures, licences, data) stays.
    """
    ours = {upload.remote for upload in uploads}
    weights = [path for path in before if path.endswith(_WEIGHTS) and "/" not in path]
    others = [path for path in before if is_allowed(path, code=False) and not path.startswith(_TERMS)]
    return sorted({*weights, *others} - ours)


def _preupload(api: HfApi, repo_id: str, operations: Sequence[CommitOperationAdd], revision: str | None) -> None:
    """Send the large files, several at once; when one fails, those that are there are not sent again."""
    if operations:
        what = operations[0].path_in_repo if len(operations) == 1 else f"{len(operations)} files"
        call(f"uploading {what}", api.preupload_lfs_files, repo_id, operations, revision=revision, free_memory=False)


def _commit(
    api: HfApi,
    repo_id: str,
    additions: Sequence[CommitOperationAdd],
    removed: Sequence[str],
    revision: str | None,
    message: str,
    parent: str,
) -> str | None:
    """Commit on top of ``parent``. Returns None when the branch has moved on from there."""
    from huggingface_hub import CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    operations = [*additions, *(CommitOperationDelete(path, is_folder=False) for path in removed)]
    try:
        info = call(
            f"committing to {repo_id}",
            api.create_commit,
            repo_id,
            operations,
            commit_message=message,
            revision=revision,
            parent_commit=parent,
        )
    except (HfHubHTTPError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        status = status_of(error)
        if status in (409, 412):
            return None
        if status is not None and status not in (400, 403, 413):
            raise
        hint = "correct what it says, and run the same command again"
        if status == 403:
            hint = "look at the quota and the rights of the namespace: https://huggingface.co/settings/billing"
        raise UserError(f"{repo_id}: the Hub refused the commit: {said(error)}", hint=hint) from None
    return info.oid


def show_progress() -> None:
    """Turn the client's progress bars off when nobody looks at a terminal."""
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
