"""``lf-registry publish``: everything is looked at before the network is touched, and verified before it is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .account import check_rights, find_token, full_id, read_account
from .collect import CARD
from .failures import explained
from .prepare import Prepared, prepare, with_card
from .remote import remote_files
from .repository import Repository, make_branch, make_public, make_tag, open_repository, tagged
from .request import Request, check_request
from .upload import Sent, send, show_progress
from .words import describe, files, listing

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_OFFLINE = "HF_HUB_OFFLINE"


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
    if not request.dry_run:
        _check_online()
    yield f"checking {request.folder}"  # large weights are read for a minute or two before the next line
    prepared = _prepare_dry(request) if request.dry_run else prepare(request)
    yield from describe(prepared)
    if request.dry_run:
        yield from [prepared.card] if request.card_only else listing(prepared)
        yield from (f"note: {note}" for note in prepared.allowed.unused())
        yield "nothing was uploaded (--dry-run)"
        return
    with explained(request.repo_id):
        yield from _publish(request, prepared)


def _publish(request: Request, prepared: Prepared) -> Iterator[str]:
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
    if request.card_only and request.public and repository.private:
        raise UserError(
            f"{repo_id}: is private, and stays so: --card-only verifies the card alone, not what would be shown",
            hint="leave --card-only out, and all of it is verified and made public; or leave --public out",
        )
    make_branch(api, repo_id, request.revision)
    before = prepared
    prepared = _with_remote_card(api, repo_id, request, prepared)
    yield from (f"note: {note}" for note in prepared.notes if note not in before.notes)
    yield from (f"note: {note}" for note in prepared.allowed.unused())
    uploads = [upload for upload in prepared.uploads if upload.remote == CARD or not request.card_only]
    message = f"Upload {'the card' if request.card_only else prepared.artifact.kind} with lf-registry"
    known = tagged(api, repo_id, request.tag) if request.tag else None
    there = remote_files(api, repo_id, known) if known else None
    sent = send(api, repo_id, uploads, revision=request.revision, message=message, only=request.card_only, tagged=there)
    yield from _sent_lines(sent, len(uploads))
    yield from _checkpoints(api, repo_id, prepared)
    if request.tag and known is None:
        make_tag(api, repo_id, request.tag, sent.commit)
        yield f"tagged {request.tag}"
    elif request.tag:
        yield f"the tag {request.tag} was there already, for the same files"
    yield from _finish(api, request, repository, sent)


def _prepare_dry(request: Request) -> Prepared:
    """Prepare without a call, with what the cache and the table know of the base model's licence, if that is enough."""
    import huggingface_hub.constants  # noqa: F401  (reads HF_HUB_OFFLINE as it is outside)

    before = os.environ.get(_OFFLINE)
    os.environ[_OFFLINE] = "1"
    try:
        return prepare(request)
    except UserError as error:
        if before in ("1", "ON", "YES", "TRUE") or not any("licen" in problem for problem in error.problems):
            raise
    finally:
        os.environ.pop(_OFFLINE)
        if before is not None:
            os.environ[_OFFLINE] = before
    return prepare(request)


def _check_online() -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UserError("HF_HUB_OFFLINE is set, so nothing can be uploaded", hint="unset HF_HUB_OFFLINE")


def _with_remote_card(api: HfApi, repo_id: str, request: Request, prepared: Prepared) -> Prepared:
    """Take over what people wrote into the card on the Hub, unless the folder brings a card of its own."""
    if prepared.own_card is not None or CARD not in remote_files(api, repo_id, request.revision):
        same = repo_id == request.repo_id
        return prepared if same else with_card(replace(request, repo_id=repo_id), prepared, None)
    import tempfile

    from .retry import call

    with tempfile.TemporaryDirectory() as folder:
        path = call("reading the card", api.hf_hub_download, repo_id, CARD, revision=request.revision, local_dir=folder)
        try:
            text = Path(path).read_bytes().decode("utf-8")  # line endings stay
        except UnicodeDecodeError:
            where = f"{api.endpoint}/{repo_id}/blob/{request.revision or 'main'}/{CARD}"
            raise UserError(
                f"{where}: is no UTF-8 text, so it cannot be renewed", hint="correct or delete it"
            ) from None
    return with_card(replace(request, repo_id=repo_id), prepared, text)


def _sent_lines(sent: Sent, count: int) -> Iterator[str]:
    if sent.sent:
        known = f"; {files(len(sent.known))} of the folder {'was' if len(sent.known) == 1 else 'were'} there already"
        yield f"uploaded {files(len(sent.sent))}, {sent.bytes:,} bytes" + (known if sent.known else "")
    else:
        yield f"all {count} files were there already" if count > 1 else "the file was there already"
    if sent.removed:
        yield f"removed from this revision, because the folder does not have them: {', '.join(sent.removed)}"
    yield f"verified: size and hash of {files(count)} on the Hub, commit {sent.commit[:8]}"


def _checkpoints(api: HfApi, repo_id: str, prepared: Prepared) -> Iterator[str]:
    """Each checkpoint as a branch with its name, so that a loader can ask for ``revision="checkpoint-30"``."""
    for name, branch in prepared.checkpoints.items():
        make_branch(api, repo_id, name)
        sent = send(api, repo_id, branch.uploads, revision=name, message=f"Upload {name} with lf-registry")
        yield f"{name}: {files(len(sent.sent))} uploaded, {len(branch.uploads)} verified; revision={name!r}"


def _finish(api: HfApi, request: Request, repository: Repository, sent: Sent) -> Iterator[str]:
    if request.public and repository.private:
        make_public(api, repository.id)
        yield "made public"
    name = request.tag or request.revision
    where = f"{api.endpoint}/{repository.id}" + (f"/tree/{name}" if name else "")
    seen = "everyone" if request.public or not repository.private else "its owners only (private; --public shows it)"
    yield f"published: {where}, seen by {seen}"
