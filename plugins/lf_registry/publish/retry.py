"""Calls to the Hub, repeated when they fail for a reason that passes: a rate limit, a server error, the line."""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import UserError

#: Status codes that a later call may not get: a time-out, a rate limit, the server's own trouble.
_PASSES = (408, 425, 429, 500, 502, 503, 504)
#: How often a call is made: with the waits below for about four minutes, and longer when the Hub names a time.
TRIES = 8
_LONGEST_WAIT_SECONDS = 60
#: A rate limit's window has five minutes; a longer wait is not what the Hub's documentation describes.
_LONGEST_NAMED_SECONDS = 900
#: A Hub that cannot be reached at all is given up sooner.
_TRIES_TO_CONNECT = 4
#: How hf_xet words an answer of the server: it raises Python's ConnectionError, without a status of its own.
_XET_STATUS = re.compile(r"HTTP status (?:client|server) error \((\d{3})")
GO_ON = "run the same command again: it goes on where this one stopped"


def call(what: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call ``function``; after a failure that passes, wait as long as the Hub asks for, or ever longer, and repeat it.

    Args:
        what: for the messages: "uploading model.safetensors".
        function: must be safe to repeat.
        arguments: its arguments.
        options: its options.

    Returns:
        What the function returns.

    Raises:
        UserError: the last try failed too.
        Exception: what the function raised, when repeating it would not help.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return function(*arguments, **options)
        except Exception as error:
            cause = passing(error)
            if cause is None:
                raise
            last = TRIES if cause.connected else _TRIES_TO_CONNECT
            if attempt >= last:
                raise UserError(
                    f"{what}: {cause.text}, {attempt} times in a row; what was uploaded stays there",
                    hint=GO_ON if cause.connected else f"see that {_endpoint()} can be reached from here; then {GO_ON}",
                ) from None
            wait = cause.wait if cause.wait is not None else backoff(attempt)
            print(f"{what}: {cause.text}; waiting {wait:.0f} s (try {attempt} of {last})", file=sys.stderr, flush=True)
            time.sleep(wait)
    raise AssertionError("unreachable")


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


class Passing:
    """Why a call failed for now.

    Attributes:
        text: for the message.
        wait: seconds that the Hub asked to wait, or None.
        connected: whether the Hub answered at all.
    """

    def __init__(self, text: str, *, wait: float | None = None, connected: bool = True) -> None:
        self.text, self.wait, self.connected = text, wait, connected


def passing(error: BaseException) -> Passing | None:
    """Why a failure may pass, or None when it will not. Looks at the errors behind the error as well."""
    import httpx

    for cause in chain(error):
        response = getattr(cause, "response", None)
        status = response.status_code if isinstance(response, httpx.Response) else xet_status(cause)
        if status is not None:
            if status not in _PASSES:
                return None
            limited = " (too many requests)" if status == 429 else ""
            wait = named_wait(response.headers) if isinstance(response, httpx.Response) else None
            return Passing(f"the Hub answered {status}{limited}", wait=wait)
        if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout):
            return Passing("the Hub cannot be reached", connected=False)
        if isinstance(cause, httpx.TransportError | ConnectionError | TimeoutError):
            return Passing(f"the connection broke ({type(cause).__name__})")
    return None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def xet_status(error: BaseException) -> int | None:
    """The status of an answer that hf_xet got; None when it got none, or when this is no error of hf_xet."""
    found = _XET_STATUS.search(str(error)) if isinstance(error, OSError) else None
    return int(found[1]) if found else None


def named_wait(headers: Any) -> float | None:
    """Seconds to wait as a 429 or 503 says: ``ratelimit`` when nothing is left of it, else ``retry-after``."""
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(min(limit.reset_in_seconds + 1, _LONGEST_NAMED_SECONDS))
    after = headers.get("retry-after", "").strip()
    return float(min(int(after), _LONGEST_NAMED_SECONDS)) if after.isdecimal() else None


def backoff(attempt: int) -> float:
    """Seconds before the next try: 1, 2, 4, ... at most a minute, and up to a quarter more so that many do not meet."""
    return min(2 ** (attempt - 1), _LONGEST_WAIT_SECONDS) * random.uniform(1.0, 1.25)
