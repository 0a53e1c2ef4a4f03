"""What the search found and the user knows to be harmless: named by ``--allow``, said again, and let through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import did_you_mean
from .artifact import Upload
from .scan import Leak, refuse_leaks, scan


@dataclass
class Allowed:
    """The places that were allowed, and what became of them.

    A line that was allowed in a file is allowed wherever it stands in the file that is made from it: the card gets
    other line numbers when its metadata is completed.

    Attributes:
        keys: as on the command line: ``FILE:LINE``.
        notes: a sentence for each place that goes up as it is.
    """

    keys: tuple[str, ...] = ()
    notes: dict[str, None] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)
    _lines: set[tuple[str, bytes]] = field(default_factory=set)
    _found: set[str] = field(default_factory=set)

    def refuse_leaks(self, uploads: Sequence[Upload], *, by_line: bool = True) -> None:
        """Search files, and stop when anything is found that was not allowed.

        Args:
            uploads: the files.
            by_line: False for a file made from one that was searched: its line numbers are not those that were named.

        Raises:
            UserError: lists the places, and what to do about each kind.
        """
        by_name = {upload.remote: upload for upload in uploads}
        refuse_leaks([leak for leak in scan(uploads) if not self._takes(leak, by_name.get(leak.file), by_line)])

    def unused(self) -> Iterator[str]:
        """A sentence for each place that was allowed and where nothing was found."""
        for key in self.keys:
            if key not in self._used:
                known = f"; {did_you_mean(key, self._found, kind='places')}" if self._found else ""
                yield f"--allow {key}: nothing was found there{known}"

    def _takes(self, leak: Leak, upload: Upload | None, by_line: bool) -> bool:
        if not leak.can_be_allowed:
            return False
        self._found |= {leak.key} if by_line else set()
        if not any(key.startswith(f"{leak.file}:") for key in self.keys):
            return False
        line = _line(upload, leak.line)
        if by_line and leak.key in self.keys:
            self._used.add(leak.key)
            self._lines |= {(leak.file, line)} if line else set()
            self.notes[f"{leak}; it goes up as it is (--allow {leak.key})"] = None
            return True
        return bool(line) and (leak.file, line) in self._lines


def _line(upload: Upload | None, number: int) -> bytes:
    """The text of a line, from 1; empty when there is none."""
    if upload is None or number < 1:
        return b""
    content = upload.content if upload.content is not None else upload.local.read_bytes() if upload.local else b""
    lines = content.split(b"\n")
    return lines[number - 1].strip() if number <= len(lines) else b""
