"""``lf-registry publish``: everything is looked at before the network is touched, and verified before it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .account import check_rights, find_token, full_id, read_account
from .collect import CARD
from .prepare import Prepared, describe, listing, prepare, prepare_checkpoint, with_card
from .remote import remote_files
from .repository import Repository, make_branch, make_public, make_tag, open_repository, tagged
from .request import Request, check_request
from .upload import Sent, send, show_progress

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def publish(request: Request) -> Iterator[str]:
    """Publish a folder.

    Args:
        request: what and where.

    Yields:
        Lines for the user, as the work goes on.

    Raises:
        UserError: the folder, its card, the token, the repository or the Hub is not as it must be. Nothing is public
            then that was not before, and running the command again goes on where it stopped.
    """
    check_request(request)
    prepared = prepare(request)
    yield from describe(prepared)
    if request.dry_run:
        yield from [prepared.card] if request.card_only else listing(prepared)
        yield "nothing was uploaded (--dry-run)"
        return
    _check_online()
    show_progress()
    from huggingface_hub import HfApi

    api = HfApi(token=find_token(), library_name="lf-registry")
    account = read_account(api)
    repo_id = full_id(request.repo_id, account)
    check_rights(repo_id, account)
    yield f"publishing as {account.name} to {repo_id}"
    repository = open_repository(api, repo_id, public=request.public)
    if repository.created:
        yield f"made {repo_id}, private"
    prepared = _with_remote_card(api, repo_id, request, prepared)
    _check_tag(api, repo_id, request)
    make_branch(api, repo_id, request.revision)
    uploads = [upload for upload in prepared.uploads if upload.remote == CARD or not request.card_only]
    message = f"Upload {prepared.artifact.kind} with lf-registry"
    sent = send(api, repo_id, uploads, revision=request.revision, message=message, only=request.card_only)
    yield from _sent_lines(sent, len(uploads))
    if request.checkpoints:
        yield from _checkpoints(api, repo_id, prepared)
    if request.tag:
        make_tag(api, repo_id, request.tag, sent.commit)
        yield f"tagged {request.tag}"
    yield from _finish(api, request, repository, sent)


def _check_online() -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UserError("HF_HUB_OFFLINE is set, so nothing can be uploaded", hint="unset HF_HUB_OFFLINE")


def _with_remote_card(api: HfApi, repo_id: str, request: Request, prepared: Prepared) -> Prepared:
    """Take over what people wrote into the card on the Hub, unless the folder brings a card of its own."""
    if prepared.own_card is not None or CARD not in remote_files(api, repo_id, request.revision):
        return with_card(replace(request, repo_id=repo_id), prepared, None)
    import tempfile

    from .retry import call

    with tempfile.TemporaryDirectory() as folder:
        path = call("reading the card", api.hf_hub_download, repo_id, CARD, revision=request.revision, local_dir=folder)
        text = Path(path).read_text(encoding="utf-8")
    return with_card(replace(request, repo_id=repo_id), prepared, text)


def _check_tag(api: HfApi, repo_id: str, request: Request) -> None:
    """Refuse a tag that is an earlier commit's, before anything is uploaded."""
    if request.tag is None:
        return
    known = tagged(api, repo_id, request.tag)
    head = api.repo_info(repo_id, revision=request.revision).sha if known else None
    if known is not None and known != head:
        raise UserError(
            f"{repo_id}: the tag {request.tag} is already there, for an earlier commit ({known[:8]})",
            hint="name another --tag; a tag that moves would change what others have pinned",
        )


def _sent_lines(sent: Sent, count: int) -> Iterator[str]:
    if sent.sent:
        yield f"uploaded {len(sent.sent)} files, {sent.bytes:,} bytes; {len(sent.known)} were there already"
    else:
        yield f"all {count} files were there already"
    if sent.removed:
        yield f"removed from this revision, because the folder does not have them: {', '.join(sent.removed)}"
    yield f"verified: size and hash of {count} files on the Hub, commit {sent.commit[:8]}"


def _checkpoints(api: HfApi, repo_id: str, prepared: Prepared) -> Iterator[str]:
    """Each checkpoint as a branch with its name, so that a loader can ask for ``revision="checkpoint-30"``."""
    for number, folder in enumerate(prepared.artifact.checkpoints):
        files = prepare_checkpoint(prepared, number)
        make_branch(api, repo_id, folder.name)
        message = f"Upload {folder.name} with lf-registry"
        sent = send(api, repo_id, files.uploads, revision=folder.name, message=message)
        yield f"{folder.name}: {len(sent.sent)} files uploaded and verified, revision={folder.name!r}"


def _finish(api: HfApi, request: Request, repository: Repository, sent: Sent) -> Iterator[str]:
    if request.public and repository.private:
        make_public(api, repository.id)
        yield "made public"
    name = request.tag or request.revision
    where = f"{api.endpoint}/{repository.id}" + (f"/tree/{name}" if name else "")
    seen = "everyone" if request.public or not repository.private else "its owners only (private; --public shows it)"
    yield f"published: {where}, seen by {seen}"
