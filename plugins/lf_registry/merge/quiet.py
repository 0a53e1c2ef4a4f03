"""Libraries that say on every start what no user of a merge can do anything about, and that take long to start."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back warnings and log lines below an error, and send what is printed to stderr; stdout is the result's."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Import without the garbage collector: it would look ten times at a million objects that all stay."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Hold back Transformers' own progress bars, which it shows in a log file too."""
    from transformers.utils import logging as its_logging

    shown = its_logging.is_progress_bar_enabled()
    its_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            its_logging.enable_progress_bar()
