"""Reading text files of the encodings that Korean data comes in."""

from __future__ import annotations

import codecs
import difflib
from pathlib import Path

from .errors import UserError

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def _probably_meant(path: Path) -> str:
    files = [other.name for other in path.parent.iterdir() if other.is_file()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, files, n=1)
    return f"; did you mean {str(path.with_name(close[0]))!r}?" if close else " (paths start at the current folder)"


def read_text(path: Path, encoding: str | None = None) -> tuple[str, str]:
    """Read a text file; CRLF and CR become LF.

    Without ``encoding``: a byte order mark decides, else UTF-8, else cp949 (what Korean Excel writes as "CSV").

    Returns:
        The text, and the name of the encoding it was in.

    Raises:
        UserError: the file is missing, or is in none of these encodings (with the line where it stops being text).
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file{_probably_meant(path)}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    for name in [encoding] if encoding else _candidates(raw):
        try:
            text = raw.decode(name)
        except LookupError:
            raise UserError(
                f"--encoding: Python knows no encoding {name!r}; usual ones: utf-8, cp949, utf-16"
            ) from None
        except UnicodeDecodeError as error:
            failure = error
            continue
        return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), name
    line = raw.count(b"\n", 0, failure.start) + 1
    tried = encoding or " nor ".join(_candidates(raw))
    raise UserError(
        f"{path}, line {line}: this is not {tried} text (byte 0x{raw[failure.start]:02x} at offset {failure.start})",
        hint="name the encoding with --encoding, for example --encoding utf-16",
    )


def _candidates(raw: bytes) -> list[str]:
    for mark, name in _MARKS:
        if raw.startswith(mark):
            return [name]
    return ["utf-8", "cp949"]
