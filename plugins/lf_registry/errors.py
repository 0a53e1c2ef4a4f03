"""The one error type that users see, and the words it is made of."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable
from types import TracebackType


class UserError(ValueError):
    """Something the user can fix: the message says what is wrong, where, and what to type next.

    A ``ValueError``, because that is what LLaMA-Factory raises in the places where we raise this instead.

    Args:
        problems: one problem, or all problems that were found at once.
        hint: the next command to type, if there is one.
    """

    #: The exit code of a command that ends with this error: the check found problems.
    exit_code = 1

    def __init__(self, problems: str | Iterable[str], hint: str | None = None) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        if len(self.problems) == 1:
            text = self.problems[0]
        else:
            text = f"{len(self.problems)} problems:\n" + "\n".join(f"  - {problem}" for problem in self.problems)
        return f"{text}\n  next: {self.hint}" if self.hint else text


class WrongUsage(UserError):
    """The command line itself is wrong: an unknown name, or options that do not go together."""

    exit_code = 2


def did_you_mean(name: str, known: Iterable[str], *, kind: str = "known", most: int = 12) -> str:
    """Say which names exist and which one was probably meant, as the tail of an error sentence.

    Long lists are shortened to the closest ``most`` names, so that the message stays readable.
    """
    names = sorted(set(known))
    if not names:
        return f"there is no {kind} at all"
    lowered = {candidate.lower(): candidate for candidate in reversed(names)}
    close = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)]
    if len(names) <= most:
        listing = f"{kind}: {', '.join(names)}"
    else:
        nearest = difflib.get_close_matches(name.lower(), lowered, n=most, cutoff=0.0)
        listing = f"{len(names)} {kind}, the closest: {', '.join(lowered[match] for match in nearest)}"
    return f"did you mean {' or '.join(repr(match) for match in close)}? ({listing})" if close else listing


def show_user_errors_without_traceback() -> None:
    """Make an uncaught ``UserError`` print as one message instead of a page of traceback. Idempotent.

    ``LF_REGISTRY_TRACEBACK=1`` brings the traceback back.
    """
    previous = sys.excepthook
    if getattr(previous, "shows_user_errors", False):
        return

    def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, UserError) and os.environ.get("LF_REGISTRY_TRACEBACK", "") in ("", "0"):
            print(f"error: {error}", file=sys.stderr)
        else:
            previous(kind, error, traceback)

    excepthook.shows_user_errors = True  # type: ignore[attr-defined]
    sys.excepthook = excepthook
