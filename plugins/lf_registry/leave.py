"""Run a command line and leave at once: after ``import torch`` Python takes half a second to take everything apart."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable

from .errors import UserError

#: What a shell says of a command that Ctrl-C ended (128 and SIGINT), and Typer too.
_INTERRUPTED = 130


def run(app: Callable[..., object], name: str) -> None:
    """Run a Typer app as the program ``name``; a ``UserError`` becomes one message and its exit code."""
    try:
        app(prog_name=name)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        leave(error.exit_code)
    except KeyboardInterrupt:  # before or after the part in which Typer takes it
        leave(_INTERRUPTED)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        leave(end.code or 0)


def leave(code: int) -> None:
    """End the process with an exit code.

    With torch loaded, Python's own end frees some hundred thousand objects one by one, which costs as much as copying
    a gigabyte; torch's library alone costs a fifth of a second. What must happen at the end happens here: threads are
    waited for, exit handlers run, output is flushed.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C in what follows: no traceback of Python's own end
    if not {"torch", "lf_registry.merge.aten"} & sys.modules.keys():
        sys.exit(code)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()  # what Python calls at its own end; there is no public name for it
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # the reader of a pipe is gone: Python's own way to say so, and its exit code
        sys.exit(code)
    os._exit(code)
