"""The log of a job that failed on a pod whose only disk goes with it: kept on the Hub, in a repository of its own.

Not in the model's repository: that one may be made public later, and a log has rows of the data and names of folders.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..secret_text import hide_in_text
from .account import check_rights, find_token, full_id, read_account
from .repository import open_repository
from .retry import call

#: Behind the name of the model's repository.
SUFFIX = "-job-log"
#: Of a longer log only the end is kept, where the reason is.
_MOST_BYTES = 4_000_000


def keep_log(path: Path, repo_id: str) -> str:
    """Upload ``job.log`` with what looks like a token hidden; the private repository is made when it is not there.

    Args:
        path: the log.
        repo_id: where the model would be published.

    Returns:
        The file's address.

    Raises:
        UserError: the Hub cannot be reached, the token may not write there, or the repository is public.
        OSError, HfHubHTTPError: the log cannot be read, or the Hub refuses it.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise UserError("HF_HUB_OFFLINE is set")
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _MOST_BYTES))
        text = hide_in_text(stream.read().decode("utf-8", errors="replace"))
    api = HfApi(token=find_token(), library_name="lf-registry")
    account = read_account(api)
    where = full_id(repo_id, account) + SUFFIX
    check_rights(where, account)
    open_repository(api, where, public=False)
    message = "The log of a job that failed"
    options = {"path_or_fileobj": text.encode(), "path_in_repo": path.name, "commit_message": message}
    call("uploading the log", api.upload_file, repo_id=where, **options)
    return f"{api.endpoint}/{where}/blob/main/{path.name}"
