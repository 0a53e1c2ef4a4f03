"""What there is to search in a file: its text in pieces, and the texts inside weights and images."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from ..tensors import read_header
from .artifact import Upload

#: Bytes that are read at a time, and how many of them are searched twice, so that nothing hides at a seam.
WINDOW, OVERLAP = 16 << 20, 1 << 14
#: What begins a file whose content is packed: zip and PyTorch's files, gzip, zstd, 7z, pickles of protocol 2 to 5.
_PACKED = (b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", *(b"\x80" + bytes([n]) for n in range(2, 6)))
_WIDE = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"))
_MARKS = (*_WIDE, (codecs.BOM_UTF16_BE, "utf-16"))
#: Bytes that no text has, and the files with pieces of words that may have them.
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_ANY_BYTES = (".model", "vocab.txt")
_ESCAPE = re.compile(rb"\\(?:u00[2-7]|/)")
_ESCAPED = re.compile(rb"\\u00([2-7][0-9a-fA-F])")


@dataclass(frozen=True)
class Block:
    """A piece of a file to be searched.

    Attributes:
        data: the bytes.
        line: the number of the first byte's line, from 1.
        before: characters of that line in front of the first byte.
        fresh, until: hits count that begin from the first to before the second; the pieces beside this one have the
            others.
        part: where inside the file, when that is not a line: ``__metadata__: run``.
        exact: whether a byte's place in ``data`` is its place in the file's line.
        image: the bytes are an image's, or a text in one: only known shapes mean something there.
    """

    data: bytes
    line: int = 1
    before: int = 0
    fresh: int = 0
    until: int | None = None
    part: str = ""
    exact: bool = True
    image: bool = False


class CannotSearch(Exception):
    """A file whose content cannot be looked into; the text says why."""


def blocks(upload: Upload) -> Iterator[Block]:
    """The pieces of a file that goes up.

    Raises:
        CannotSearch: the content is packed or no text, or an image is broken.
        BadTensorFile: a safetensors file is.
    """
    if upload.remote.endswith(".safetensors") and upload.local is not None:
        yield from _safetensors(upload)
        return
    with _opened(upload) as stream:
        start = stream.read(4096)
        stream.seek(0)
        if start.startswith(_PACKED):
            raise CannotSearch("its content is packed (zip, gzip or pickle)")
        image = start.startswith((b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8"))
        if image:
            yield from _image(stream.read())
            stream.seek(0)
        encoding = next((name for mark, name in _MARKS if start.startswith(mark)), None)
        if encoding is None and not image and start.count(0) > len(start) // 4:
            encoding = "utf-16-le" if start[1:2] == b"\0" else "utf-16-be"
        text = io.BytesIO(stream.read().decode(encoding, "replace").encode()) if encoding else stream
        for block in _windows(text):
            yield replace(block, image=image)
            if not image and not upload.remote.endswith(_ANY_BYTES) and _CONTROL.search(block.data):
                raise CannotSearch("it holds bytes that no UTF-8 text has")
            if b"\\u00" in block.data or b"\\/" in block.data:
                yield replace(block, data=_unescaped(block.data), fresh=0, until=None, exact=False)


def _unescaped(data: bytes) -> bytes:
    """The lines with characters that JSON may write as escapes, written plainly; the other lines empty."""
    kept, done = [], 0
    for match in _ESCAPE.finditer(data):
        if match.start() >= done:
            begin = data.rfind(b"\n", done, match.start()) + 1 or done
            end = data.find(b"\n", match.end())
            kept += [b"\n" * data.count(b"\n", done, begin), data[begin : end if end >= 0 else len(data)]]
            done = begin + len(kept[-1])
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), b"".join(kept)).replace(b"\\/", b"/")


def _opened(upload: Upload) -> BinaryIO:
    if upload.content is not None:
        return io.BytesIO(upload.content)
    assert upload.local is not None, f"{upload.remote}: neither a file nor content"
    return upload.local.open("rb")


def _windows(stream: BinaryIO) -> Iterator[Block]:
    data, line, before, fresh = stream.read(WINDOW), 1, 0, 0
    while data:
        following = stream.read(WINDOW)
        until = len(data) - OVERLAP // 2 if following else None
        yield Block(data, line, before, fresh, until)
        if until is None:
            return
        # The next piece begins with a line where one begins near, so that little is read twice.
        end = max(0, len(data) - OVERLAP)
        begin = data.rfind(b"\n", max(0, end - OVERLAP), end) + 1 or end
        newline = data.rfind(b"\n", 0, begin)
        line += data.count(b"\n", 0, begin)
        before = len(data[newline + 1 : begin].decode("utf-8", "replace")) + (before if newline < 0 else 0)
        data, fresh = data[begin:] + following, until - begin


def _safetensors(upload: Upload) -> Iterator[Block]:
    """The free texts of the header, and the tensors' names."""
    assert upload.local is not None
    header = read_header(upload.local)
    for key, value in header.metadata.items():
        text = f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        yield Block(text.encode("utf-8", "replace"), part=f"__metadata__: {key}", exact=False)
        if _ESCAPE.search(value.encode("utf-8", "replace")):
            yield Block(_unescaped(value.encode("utf-8", "replace")), part=f"__metadata__: {key}", exact=False)
    yield Block("\n".join(header.tensors).encode("utf-8", "replace"), part="names of tensors", exact=False)


def _image(content: bytes) -> Iterator[Block]:
    """The texts that an image carries, also those that are compressed in it."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            texts = {str(key): value for key, value in (image.info | getattr(image, "text", {})).items()}
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise CannotSearch(
            f"the image cannot be read ({str(error).splitlines()[0] if str(error) else 'broken'})"
        ) from None
    for key, value in texts.items():
        data = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
        yield Block(f"{key}: ".encode() + data, part=f"text {key!r} of the image", exact=False, image=True)
