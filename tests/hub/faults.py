"""Faults: what goes wrong with which call, set from a test."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .calls import Call

#: ``before``: nothing of it is looked at. ``body``: while its body comes in. ``answer``: it was done as it should be,
#: and only the answer is lost.
When = Literal["before", "body", "answer"]


@dataclass
class Fault:
    """One rule.

    Attributes:
        method, path, host: regular expressions; the path is searched, the others match as a whole.
        after: calls that fit and are left alone first.
        times: calls that fail then; None: all that follow.
        when: see ``When``.
        status: answer with this status; None: see ``reset``.
        headers: of that answer.
        reset: the connection is reset.
        at: bytes of the body after which ``when="body"`` strikes; at the latest when the body has ended.
        rate: bytes of the body that are read in a second.
        delay: seconds to wait before the call is looked at.
        run: called with the call when the rule strikes, before anything else is done, in the server's thread.
        seen: calls that fit so far.
        hits: calls that it struck.
    """

    method: str = ".*"
    path: str = ""
    host: str = ".*"
    after: int = 0
    times: int | None = 1
    when: When = "before"
    status: int | None = None
    headers: dict[str, str] | None = None
    reset: bool = False
    at: int = 0
    rate: float | None = None
    delay: float = 0
    run: Callable[[Call], object] | None = None
    seen: int = 0
    hits: int = 0

    def strikes(self, call: Call) -> bool:
        fits = re.fullmatch(self.method, call.method) and re.fullmatch(self.host, call.host)
        if not fits or not re.search(self.path, call.path):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.seen > self.after + self.times):
            return False
        self.hits += 1
        return True

    def __str__(self) -> str:
        if self.reset:
            return f"reset ({self.when})"
        return f"{self.status} ({self.when})" if self.status else "slowed or watched"


class Faults:
    """The rules of a test. Each function adds one and returns it; the keywords are those of ``Fault``."""

    def __init__(self):
        self.rules: list[Fault] = []

    def add(self, **rule) -> Fault:
        self.rules.append(Fault(**rule))
        return self.rules[-1]

    def status(self, status: int, *, wait: int | None = None, header: str = "ratelimit", **rule) -> Fault:
        """Answer with a status; ``wait``: seconds that the answer asks for, in ``ratelimit`` or ``retry-after``."""
        headers = {}
        if wait is not None and header == "ratelimit":
            headers = {"ratelimit": f'"api";r=0;t={wait}', "ratelimit-policy": '"fixed window";"api";q=1000;w=300'}
        elif wait is not None:
            headers = {header: str(wait)}
        return self.add(status=status, headers=headers, **rule)

    def reset(self, **rule) -> Fault:
        """Reset the connection."""
        return self.add(reset=True, **rule)

    def slow(self, rate: float, **rule) -> Fault:
        """Read bodies at ``rate`` bytes in a second."""
        return self.add(**({"rate": rate, "times": None} | rule))

    def run(self, call: Callable[[Call], object], **rule) -> Fault:
        """Call a function at that moment: kill the client, let another one commit."""
        return self.add(run=call, **rule)

    def clear(self) -> None:
        self.rules.clear()

    def strike(self, call: Call) -> list[Fault]:
        """The rules that hold for this call."""
        return [rule for rule in self.rules if rule.strikes(call)]
