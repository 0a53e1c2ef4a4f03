"""``lf-registry publish`` on the command line: its output, and what stopping it means."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UserError, WrongUsage
from .request import Request, is_token, refuse_token
from .retry import GO_ON
from .run import publish


class Stopped(UserError):
    """Ctrl-C, with the exit code that shells expect of it."""

    exit_code = 130


def publish_and_print(request: Request, *, token: str | None, more: Sequence[str]) -> None:
    """Publish, and print a line for each step.

    Args:
        request: what and where.
        token: given as an option; it is refused.
        more: words that no argument stands for; a token among them is not repeated.

    Raises:
        WrongUsage: a token on the command line, or too many words.
        Stopped: Ctrl-C.
        UserError: see ``publish``.
    """
    if token is not None or any(is_token(word) for word in more):
        raise refuse_token()
    if more:
        raise WrongUsage(
            f"unexpected: {' '.join(more)}", hint="lf-registry publish FOLDER REPO_ID; --help lists the rest"
        )
    try:
        for line in publish(request):
            print(line, flush=True)
    except KeyboardInterrupt:
        # hf_xet and the client's threads may still be busy; they end with the process.
        raise Stopped("stopped; nothing is public or tagged that was not verified", hint=GO_ON) from None
