"""Writing whole pages, and not into the page cache, changes no byte."""

from __future__ import annotations

import errno
import os
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lf_registry.merge import writing
from lf_registry.merge.writing import Writer


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Open two empty files of 100,000 bytes."""
    folder = tmp_path_factory.mktemp("writing")

    def open_two(name):
        found = []
        for i in range(2):
            path = folder / f"{name}-{i}"
            path.write_bytes(b"\0" * 100_000)
            found.append((path, os.open(path, os.O_RDWR)))
        return found

    return open_two


@settings(max_examples=60, deadline=None)
@given(
    keep=st.booleans(),
    starts=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 40_000)), min_size=1, max_size=4),
    sizes=st.lists(st.integers(0, 9_000), min_size=1, max_size=6),
)
def test_any_sequence_of_writes(files, keep, starts, sizes):
    expected, opened = [bytearray(100_000), bytearray(100_000)], files("any")
    writer, value = Writer(keep=keep), 0
    for file, start in starts:  # runs of neighbouring pieces, in either file, which may overlap
        for place, size in zip(accumulate(sizes, initial=start), sizes, strict=False):
            value = value % 255 + 1
            writer.write(opened[file][1], memoryview(bytearray([value]) * size), place)
            expected[file][place : place + size] = bytes([value]) * size
    writer.flush()
    for (path, descriptor), content in zip(opened, expected, strict=True):
        os.close(descriptor)
        assert path.read_bytes() == content


REFUSALS = [OSError(code, os.strerror(code)) for code in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)]


@pytest.mark.parametrize("refusal", [*REFUSALS, NotImplementedError()], ids=repr)
def test_a_kernel_or_a_python_that_cannot_is_asked_once(files, monkeypatch, refusal):
    seen, pwritev = [], os.pwritev

    def older(descriptor, views, place, flags=0):
        seen.append(flags)
        if flags:
            raise refusal
        return pwritev(descriptor, views, place)

    monkeypatch.setattr(writing.os, "pwritev", older)
    ((path, descriptor), _) = files("older")
    writer = Writer(keep=False)
    for i in range(3):
        writer.write(descriptor, memoryview(b"x" * 5_000), 5_000 * i)
    writer.flush()
    assert path.read_bytes()[:15_001] == b"x" * 15_000 + b"\0"
    assert seen == [writing.RWF_DONTCACHE, 0, 0, 0, 0]


@pytest.mark.parametrize("keep", [True, False])
def test_a_full_disk_is_an_error(files, monkeypatch, keep):
    def full(descriptor, views, place, flags=0):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, "pwritev", full)
    ((_, descriptor), _) = files("full")
    with pytest.raises(OSError, match="No space left"):
        Writer(keep=keep).write(descriptor, memoryview(b"x" * 5_000), 0)
    writer = Writer(keep=keep)
    writer.write(descriptor, memoryview(b"x" * 10), 0)
    with pytest.raises(OSError, match="No space left"):
        writer.flush()


def test_what_the_disk_takes_in_parts(files, monkeypatch):
    pwritev = os.pwritev
    monkeypatch.setattr(
        writing.os, "pwritev", lambda descriptor, views, place, flags=0: pwritev(descriptor, [views[0][:7]], place)
    )
    ((path, descriptor), _) = files("parts")
    writer = Writer(keep=True)
    content = os.urandom(9_001)
    writer.write(descriptor, memoryview(content)[:10], 3)
    writer.write(descriptor, memoryview(content)[10:], 13)
    writer.flush()
    assert path.read_bytes()[3:9_004] == content
