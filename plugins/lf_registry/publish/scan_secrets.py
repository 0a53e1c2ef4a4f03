"""What a secret looks like in the bytes of a file: by its shape, by its name, or because it is random."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from ..secret_text import URL_PASSWORD
from .scan_shapes import Hit, in_base64, shaped

_URL_PASSWORD = re.compile(URL_PASSWORD.encode())
_AUTHORIZATION = re.compile(
    rb"[Bb]earer +[\w.~+/=-]{20,}|uthorization\\*[\"']?[ \t]*[:=][ \t]*\\*[\"']?Basic +[\w+/=]{12,}"
)
_NOT_FILLED_IN = re.compile(
    rb"(?i)[<{$%\[(*]|.*(?:\.\.\.|xxx|your|example|placeholder|change.?me|hidden)"
    rb"|(?:none|null|pass|password|passwd|pwd|secret|token)$"
)

#: A name with one of these words in it may name a secret; `_is_secret` decides.
_NAMING = (b"token", b"secret", b"passw", b"pwd", b"credential", b"webhook", b"key")
_QUOTED = re.compile(rb"[\w.-]*\\*[\"']?[ \t]*[:=][ \t]*\\*[\"']([^\"'\s\\]{6,400})\\*[\"']")
_BARE = re.compile(rb"[\w.-]*[ \t]*[:=][ \t]*([^\"'\s#,;{}()]{6,400})(?=[\s,;)}\]]|$)")
_NAME_END = re.compile(rb"[A-Za-z0-9_.-]*$")
#: Most keys are no secrets (`sort_key`), most tokens of a model are its vocabulary's (`eos_token`): what is in front
#: of the word decides. Of the first kind no value is harmless, of the second none with a digit.
_SURE = re.compile(
    r"(?:passwords?|passwd|pwd|secrets?|credentials?|webhook)\d*$|(?:^|_)(?:api|access|auth|private|secret|account|storage"
    r"|signing|encryption|hub|hf|openai|anthropic|wandb|runpod|github|gitlab|aws|azure|bearer|refresh|session|bot)_?"
    r"(?:tokens?|keys?)\d*$"
)
_PERHAPS = re.compile(
    r"(?<!bos)(?<!eos)(?<!pad)(?<!unk)(?<!sep)(?<!cls)(?<!mask)(?<!stop)(?<!end)(?<!start)(?<!image)(?<!video)(?<!audio)"
    r"(?<!vision)(?<!boi)(?<!eoi)(?<!eot)(?<!eom)(?<!special)(?<!extra)(?<!tool)(?<!think)_token\d*$"
)

#: 40 hexadecimal digits are an older Weights & Biases key or a Git commit. Words in front of a commit or a checksum:
_HASH = re.compile(
    rb"(?i)(?:commit|revision|\brev|sha-?\d*|hash|\boid|etag|digest|checksum|snapshots?|tree|blob|resolve|version|git)"
    rb"[\w.-]*\\*[\"'`]?[\s:=/@(\[]*\\*[\"'`]?$|[@/]$"
)
_RUN = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_-]{23,}")
_PIECE = re.compile(rb"[A-Za-z0-9]+")
_AWS_SECRET = re.compile(rb"(?<![A-Za-z0-9+/=_-])(?=[A-Za-z0-9]*[+/])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=_-])")
_HEX = re.compile(rb"[0-9a-f]+|[0-9A-F]+")
#: A longer run of base64 is data (an image, a table of a tokenizer), no key.
_LONGEST = 200
_BASE64_BEFORE = re.compile(rb"[A-Za-z0-9+/=_-]*$")
_BASE64_AFTER = re.compile(rb"[A-Za-z0-9+/=_-]*")
_DIGITS = frozenset(b"0123456789")


def secrets_in(
    data: bytes,
    *,
    settings: bool = False,
    bare_values: bool = False,
    vocabulary: bool = False,
    shapes_only: bool = False,
) -> Iterator[Hit]:
    """Everything in a block of bytes that looks like a secret.

    Args:
        data: UTF-8, or bytes of another kind.
        settings: a file of settings and no prose or code: a value behind `password` is one, whatever it looks like.
        bare_values: values without quotes count as well, as in YAML and ``.env`` files.
        vocabulary: the file lists pieces of words, so what is only random counts less.
        shapes_only: search for known shapes alone, as in the bytes of an image.
    """
    yield from shaped(data)
    if b"://" in data and b"@" in data:
        for match in _URL_PASSWORD.finditer(data):
            if not _NOT_FILLED_IN.match(match.group().partition(b":")[2]):
                yield match.start(), match.end(), "a password in an address"
    if b"earer " in data or b"Basic " in data:
        for match in _AUTHORIZATION.finditer(data):
            if re.search(rb"\d", match.group()):
                yield match.start(), match.end(), "an authorization header"
    if not shapes_only:
        yield from _named(data, settings, bare_values)
        yield from in_base64(data)
        yield from _random(data, vocabulary)


def _named(data: bytes, settings: bool, bare_values: bool) -> Iterator[Hit]:
    """Values whose name says that they are secret: ``"api_key": "..."``, ``DB_PASSWORD=...``."""
    lowered = data.lower()
    for word in _NAMING:
        place = lowered.find(word)
        while place >= 0:
            match = _QUOTED.match(data, place) or (_BARE.match(data, place) if bare_values else None)
            if match:
                begin = _NAME_END.search(data, max(0, place - 60), place).start()  # type: ignore[union-attr]
                name = re.match(rb"[\w.-]*", data[begin : match.start(1)]).group().decode("ascii", "replace")  # type: ignore[union-attr]
                if _is_secret(name, match[1], sure=settings):
                    yield match.start(1), match.end(1), "a secret by its name"
            place = lowered.find(word, place + len(word))


def _is_secret(name: str, value: bytes, *, sure: bool) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_").replace(".", "_")
    certain = _SURE.search(words) is not None
    if not (certain or _PERHAPS.search(words)) or _NOT_FILLED_IN.match(value):
        return False
    if not value.isascii() or re.match(rb"[a-z]+://|[~./\\]|[\d.]+$", value) or len(set(value)) < 5:
        return False  # an address, a file, a number, dots
    return (certain and sure) or (re.search(rb"\d", value) is not None and re.search(rb"[A-Za-z]", value) is not None)


def _random(data: bytes, vocabulary: bool) -> Iterator[Hit]:
    """Runs of letters and digits that nobody wrote.

    Words, names and model ids change between small letters, capitals and digits seldom: at a third of their characters
    at most (``dataGridViewTextBoxColumn``). In a random key two of three neighbours differ; counted from 0.42 on.
    Hashes are hexadecimal and never counted, but for 40 digits with no word for a commit or a checksum in front.
    """
    for match in _RUN.finditer(data):
        run = match.group()
        if (
            not any(byte in _DIGITS for byte in run)
            or _is_data(data, *match.span())
            or _in_address(data, match.start())
        ):
            continue
        for piece in _PIECE.finditer(run):
            if len(piece.group()) == 40 and re.fullmatch(rb"[0-9a-f]{40}", piece.group()):
                begin = match.start() + piece.start()
                before = data[max(0, begin - 60) : begin].rpartition(b"\n")[2]
                if not _HASH.search(before):
                    yield begin, begin + 40, "a Weights & Biases key (or a commit that nothing names)"
        if _looks_random(run):
            yield match.start(), match.end(), "a random text, as keys are"
    if not vocabulary:
        for match in _AWS_SECRET.finditer(data):
            if _changes([match.group()]) >= 0.5 and len(set(match.group())) >= 20:
                yield match.start(), match.end(), "a random text, as keys are"


def _looks_random(run: bytes) -> bool:
    pieces = [piece for piece in _PIECE.findall(run) if not _HEX.fullmatch(piece)]
    longest = max(pieces, key=len, default=b"")
    if len(longest) < 16 or sum(map(len, pieces)) < 24 or len(set(b"".join(pieces))) < 12:
        return False
    classes = sum(re.search(kind, run) is not None for kind in (rb"[a-z]", rb"[A-Z]", rb"\d"))
    if classes == 3:
        return _changes(pieces) >= 0.42
    return classes == 2 and len(longest) >= 30 and re.search(rb"\d", run) is not None and _changes(pieces) >= 0.3


def _changes(pieces: list[bytes]) -> float:
    """The share of neighbours in the pieces that are of different kinds: small letter, capital, digit, other."""
    kinds = [piece.translate(_KINDS) for piece in pieces]
    pairs = sum(len(kind) - 1 for kind in kinds)
    return sum(a != b for kind in kinds for a, b in pairwise(kind)) / max(1, pairs)


_KINDS = bytes(
    next((mark for mark, kind in enumerate((str.islower, str.isupper, str.isdigit), 1) if kind(chr(byte))), 0)
    if byte < 128
    else 0
    for byte in range(256)
)


def _is_data(data: bytes, start: int, end: int) -> bool:
    """Whether a run is a piece of a long text in base64."""
    before = _BASE64_BEFORE.search(data, max(0, start - _LONGEST), start).group()  # type: ignore[union-attr]
    after = _BASE64_AFTER.match(data, end, end + _LONGEST).group()  # type: ignore[union-attr]
    return len(before) + end - start + len(after) > _LONGEST


def _in_address(data: bytes, place: int) -> bool:
    """Whether this stands in the path of a web address, where ids of files and videos are; a query is no path."""
    before = re.search(rb"[^\s\"'<>()]*$", data[max(0, place - 300) : place]).group()  # type: ignore[union-attr]
    return b"://" in before and b"?" not in before and b"#" not in before
