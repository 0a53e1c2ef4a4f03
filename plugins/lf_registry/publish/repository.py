"""The repository on the Hub: private until what it holds is verified, never half-open, tagged once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .failures import said
from .retry import call

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Repository:
    """A repository as it is on the Hub.

    Attributes:
        id: with its namespace.
        private: whether only its owners see it.
        created: whether it was made just now.
    """

    id: str
    private: bool
    created: bool


def find(api: HfApi, repo_id: str) -> Any | None:
    """What the Hub says about a repository, or None when there is none that this token may see."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return call(f"looking for {repo_id}", api.repo_info, repo_id)
    except RepositoryNotFoundError:
        return None


def open_repository(api: HfApi, repo_id: str, *, public: bool) -> Repository:
    """Find the repository, or make it, private.

    Raises:
        UserError: it is public and ``public`` is not wanted, or the token may not write there.
    """
    from huggingface_hub.errors import HfHubHTTPError

    info = find(api, repo_id)
    created = info is None
    try:
        if created:
            call(f"creating {repo_id}", api.create_repo, repo_id, private=True, exist_ok=True)
            info = find(api, repo_id)
        if info is None:
            raise UserError(f"{repo_id}: was made, but the Hub does not show it to this token")
        call(f"asking for write access to {repo_id}", api.auth_check, repo_id, write=True)
    except HfHubHTTPError as error:
        if error.response.status_code not in (401, 403, 404):
            raise
        raise UserError(
            f"{repo_id}: this token may not write there ({said(error)})",
            hint="ask its owner for write access, or publish under your own name",
        ) from None
    if not info.private and not public:
        raise UserError(
            f"{repo_id}: the repository is public, and what is uploaded would be too; nothing was uploaded",
            hint="--public when that is wanted, or name another repository",
        )
    return Repository(repo_id, bool(info.private), created)


def make_branch(api: HfApi, repo_id: str, branch: str | None) -> None:
    """Make a branch from the main one, unless it is there."""
    if branch not in (None, "main"):
        refs = call(f"reading the branches of {repo_id}", api.list_repo_refs, repo_id)
        if branch not in {entry.name for entry in refs.branches}:
            call(f"making the branch {branch}", api.create_branch, repo_id, branch=branch, exist_ok=True)


def tagged(api: HfApi, repo_id: str, tag: str) -> str | None:
    """The commit that a tag names, or None."""
    refs = call(f"reading the tags of {repo_id}", api.list_repo_refs, repo_id)
    return next((entry.target_commit for entry in refs.tags if entry.name == tag), None)


def make_tag(api: HfApi, repo_id: str, tag: str, commit: str) -> None:
    """Name a commit; the same name for the same commit is no error, so that the command can be repeated.

    Raises:
        UserError: the name is another commit's.
    """
    call(f"tagging {tag}", api.create_tag, repo_id, tag=tag, revision=commit, exist_ok=True)
    known = tagged(api, repo_id, tag)
    if known != commit:
        raise UserError(
            f"{repo_id}: the tag {tag} is there, but for the commit {str(known)[:8]}, not for {commit[:8]}",
            hint="name another --tag; a tag that moves would change what others have pinned",
        )


def make_public(api: HfApi, repo_id: str) -> None:
    """Show the repository to everyone."""
    call(f"making {repo_id} public", api.update_repo_settings, repo_id, private=False)
