"""What the Hub has against what is here: every file's size and hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .retry import call

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi


@dataclass(frozen=True)
class Remote:
    """A file on the Hub.

    Attributes:
        size: bytes.
        sha256: of a file that is stored as LFS or Xet; None otherwise.
        git: Git's hash of a file that is stored in Git itself; of a pointer otherwise.
    """

    size: int
    sha256: str | None
    git: str


def remote_files(api: HfApi, repo_id: str, revision: str | None) -> dict[str, Remote]:
    """All files of a revision by their paths; nothing when the revision has none."""
    from huggingface_hub import RepoFile
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

    def read() -> list:
        return list(api.list_repo_tree(repo_id, recursive=True, revision=revision))

    try:
        entries = call(f"listing {repo_id}", read)
    except (EntryNotFoundError, RevisionNotFoundError):
        return {}
    return {
        entry.path: Remote(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
        for entry in entries
        if isinstance(entry, RepoFile)
    }


def is_same(operation: CommitOperationAdd, remote: Remote | None) -> bool:
    """Whether a file is on the Hub as it is here. The local hash is computed once, and not at all when sizes differ."""
    if remote is None or remote.size != operation.upload_info.size:
        return False
    if remote.sha256 is not None:
        return remote.sha256 == operation.upload_info.sha256.hex()
    from huggingface_hub.utils.sha import git_hash

    with operation.as_file() as stream:
        return remote.git == git_hash(stream.read())


def differences(operations: Sequence[CommitOperationAdd], files: dict[str, Remote]) -> list[str]:
    """One line for each file that the Hub does not have as it is here."""
    problems = []
    for operation in operations:
        remote = files.get(operation.path_in_repo)
        if is_same(operation, remote):
            continue
        here = f"{operation.upload_info.size:,} bytes here"
        if remote is None:
            problems.append(f"{operation.path_in_repo}: is not on the Hub ({here})")
        elif remote.size != operation.upload_info.size:
            problems.append(f"{operation.path_in_repo}: {remote.size:,} bytes on the Hub, {here}")
        else:
            problems.append(f"{operation.path_in_repo}: its hash on the Hub is not that of the local file")
    return problems
