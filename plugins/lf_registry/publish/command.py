"""``lf-registry publish`` on the command line: its output, and what stopping it means."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from ..errors import UserError, WrongUsage
from .request import Request, is_token, refuse_token
from .retry import GO_ON

#: What shells expect of a program that Ctrl-C has ended.
_STOPPED = 130
#: How long what is under way may take to end. Being killed is harmless: the next run goes on.
_PATIENCE_SECONDS = 2.0


def publish_and_print(request: Request, *, token: str | None, more: Sequence[str]) -> None:
    """Publish, and print a line for each step. Ctrl-C ends the process soon, whatever is being sent.

    Args:
        request: what and where.
        token: given as an option; it is refused.
        more: words that no argument stands for; a token among them is not repeated.

    Raises:
        WrongUsage: a token on the command line, or too many words.
        UserError: see ``publish``.
    """
    if token is not None or any(is_token(word) for word in more):
        raise refuse_token()
    if more:
        hint = "lf-registry publish FOLDER REPO_ID; --help lists the rest"
        raise WrongUsage(f"unexpected: {' '.join(more)}", hint=hint)
    signal.signal(signal.SIGINT, _stop)
    from .run import publish

    try:
        for line in publish(request):
            print(line, flush=True)
    except KeyboardInterrupt:
        sys.exit(_STOPPED)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """Say what to do, and end: the client waits for the files that its threads send, which may take minutes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    message = UserError("stopped; nothing is public or tagged that was not verified", hint=GO_ON)
    print(f"error: {message}", file=sys.stderr, flush=True)
    end = threading.Timer(_PATIENCE_SECONDS, os._exit, (_STOPPED,))
    end.daemon = True
    end.start()
    raise KeyboardInterrupt
