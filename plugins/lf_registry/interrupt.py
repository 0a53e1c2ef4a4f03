"""Ctrl-C while the command still imports: it ends at once and says nothing, as it does later (Typer's exit code 130).

Importing this module begins that, so it stands before the imports that take time. ``over`` ends it.
"""

from __future__ import annotations

import os
from _signal import SIGINT, default_int_handler, getsignal, signal  # `signal` itself imports a dozen modules first


def _end(number: int, frame: object) -> None:
    os._exit(130)  # nothing has begun that would have to be put in order


def over() -> None:
    """Give Ctrl-C back to Python: from here on it is a ``KeyboardInterrupt``."""
    _replace(_end, default_int_handler)


def _replace(before: object, after: object) -> None:
    """Leave it alone where Ctrl-C is ignored (nohup), and where somebody else has a handler."""
    try:
        if getsignal(SIGINT) is before:
            signal(SIGINT, after)
    except ValueError:
        return  # imported in a thread, where no handler can be set


_replace(default_int_handler, _end)
