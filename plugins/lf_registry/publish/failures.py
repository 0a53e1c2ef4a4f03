"""What can go wrong at the Hub and does not pass by itself, as one message with what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import UserError
from ..secret_text import hide_in_text
from .retry import GO_ON, chain, xet_status

TOKENS = "https://huggingface.co/settings/tokens"
_ADVICE = {
    401: f"the token was refused: it has expired or was revoked; make a new one at {TOKENS}, then: hf auth login",
    403: "look at the quota and the rights of the namespace: https://huggingface.co/settings/billing",
    404: "was the repository renamed or deleted meanwhile? Running the same command again makes it anew",
    413: "something is larger than the Hub takes; split the weights: lf-registry merge --max-shard-size 5GB",
}


@contextmanager
def explained(repo_id: str) -> Iterator[None]:
    """Turn what the client raises inside into a ``UserError``; what is a mistake of ours stays as it is.

    Args:
        repo_id: for the messages.

    Raises:
        UserError: the Hub refused something, or this machine's disk did.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        problem = _explain(repo_id, error)
        if problem is None:
            raise
        raise problem from None


def said(error: BaseException) -> str:
    """What the server said, in one line: without the address, which may hold a signature."""
    text = getattr(error, "server_message", None) or (getattr(error, "args", None) and str(error.args[0])) or ""
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    kept = [line for line in lines if "://" not in line] or ["no reason given"]
    return hide_in_text(kept[-1].split(", domain:")[0])[:300]


def status_of(error: BaseException) -> int | None:
    """The status of the Hub's answer behind an error, or None."""
    import httpx

    for cause in chain(error):
        response = getattr(cause, "response", None)
        if isinstance(response, httpx.Response):
            return response.status_code
        if (status := xet_status(cause)) is not None:
            return status
    return None


def _explain(repo_id: str, error: Exception) -> UserError | None:
    status = status_of(error)
    if status is not None:
        cause = next(one for one in chain(error) if hasattr(one, "response") or xet_status(one) is not None)
        text = said(cause) if hasattr(cause, "response") else "the storage refused the upload"
        return UserError(f"{repo_id}: the Hub answered {status}: {text}", hint=_ADVICE.get(status, GO_ON))
    for cause in chain(error):
        if isinstance(cause, FileNotFoundError) and cause.filename:
            return UserError(f"{cause.filename}: is gone, in the middle of the upload", hint=GO_ON)
        if isinstance(cause, OSError):
            return _of_the_disk(cause)
    return None


def _of_the_disk(error: OSError) -> UserError:
    """A failure of this machine; hf_xet, which keeps notes under ``HF_HOME``, says no number and no file."""
    from huggingface_hub import constants

    what = f"{error.filename}: " if error.filename else ""
    text = error.strerror or str(error).splitlines()[0]
    full = error.errno == errno.ENOSPC or "os error 28" in text or "No space" in text
    where = constants.HF_XET_CACHE
    hint = f"free some space, or set HF_HOME to a folder with space ({where} is written while uploading)"
    if not full:
        hint = f"see that {where} can be written, or set HF_HOME to a folder that can"
    if error.filename and not full:
        hint = "see that the file can be read"
    return UserError(f"{what}{'the disk is full' if full else 'the upload failed'} ({text})", hint=f"{hint}; {GO_ON}")
