"""Every way in which a weight file can be broken has its own message."""

from __future__ import annotations

import struct

import pytest

from lf_registry.errors import UserError
from lf_registry.tensors import read_header
from tensor_files import LFS, check, entry, write

BROKEN = {
    "empty": (b"", "empty-file", ["0 bytes"]),
    "a pointer": (LFS, "lfs-pointer", ["Git LFS pointer"]),
    "no length": (b"1234567", "truncated-shard", ["7 bytes"]),
    "length beyond the file": (struct.pack("<Q", 500) + b"{", "truncated-shard", ["at least 499 bytes are missing"]),
    "length over the limit": (struct.pack("<Q", 100_000_001) + b"{}", "bad-header", ["100,000,001", "100,000,000"]),
    "a text file": (b"#!/bin/sh\necho", "bad-header", ["no safetensors file"]),
}
HEADERS = {
    "not UTF-8": (b'{"\xff": 1}', 0, "bad-header", ["not UTF-8 (byte 10"]),
    "not JSON": (b'{"a": }', 0, "bad-header", ["not JSON", "byte 14"]),
    "not an object": (b"[1, 2]", 0, "bad-header", ["does not begin with {"]),
    "a key twice": (b'{"a": {}, "a": {}}', 0, "bad-header", ["same key twice", "'a'"]),
    "a field twice": (b'{"a": {"dtype": "F32", "dtype": "F16"}}', 0, "bad-header", ["same key twice", "'dtype'"]),
    "metadata no text": ({"__metadata__": {"n": 1}}, 0, "bad-header", ["__metadata__"]),
    "metadata a list": ({"__metadata__": []}, 0, "bad-header", ["__metadata__"]),
    "no entry": ({"a": 1}, 0, "bad-header", ["'a'", "dtype, shape and data_offsets"]),
    "entry without shape": ({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, 0, "bad-header", ["'a'"]),
    "unknown dtype": ({"a": entry("FP32")}, 8, "bad-header", ["'a'", "'FP32'", "did you mean 'F32'"]),
    "negative shape": ({"a": entry(shape=[-2])}, 8, "bad-header", ["'a'", "[-2]"]),
    "shape not whole": ({"a": entry(shape=[2.0])}, 8, "bad-header", ["'a'", "[2.0]"]),
    "shape a truth value": ({"a": entry(shape=[True, 2])}, 8, "bad-header", ["'a'", "[True, 2]"]),
    "shape no list": ({"a": {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]}}, 8, "bad-header", ["shape 2"]),
    "offsets backwards": ({"a": entry(offsets=[8, 0])}, 8, "bad-header", ["'a'", "[8, 0]"]),
    "three offsets": ({"a": entry(offsets=[0, 4, 8])}, 8, "bad-header", ["'a'", "[0, 4, 8]"]),
    "span too short": ({"a": entry(offsets=[0, 4])}, 4, "bad-header", ["'a'", "span 4 bytes", "takes 8"]),
    "packed half byte": ({"a": entry("F4", [3], [0, 1])}, 1, "bad-header", ["'a'", "takes 1.5"]),
    "overlap": ({"a": entry(), "b": entry(offsets=[4, 12])}, 12, "bad-header", ["overlap", "'b'"]),
    "same place": ({"a": entry(), "b": entry()}, 8, "bad-header", ["overlap", "'b'"]),
    "hole": ({"a": entry(), "b": entry(offsets=[16, 24])}, 24, "bad-header", ["belong to no tensor", "'b'"]),
    "hole at the start": ({"a": entry(offsets=[8, 16])}, 16, "bad-header", ["belong to no tensor", "'a'"]),
    "truncated": ({"a": entry(), "b": entry(offsets=[8, 16])}, 13, "truncated-shard", ["3 of", "1 of 2", "'b'"]),
    "trailing": ({"a": entry()}, 11, "trailing-bytes", ["3 bytes stand behind"]),
    "trailing, no tensor": ({}, 5, "trailing-bytes", ["5 bytes"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file(file, name):
    content, code, words = BROKEN[name]
    file.write_bytes(content)
    check(file, code, words)


@pytest.mark.parametrize("name", HEADERS)
def test_broken_header(file, name):
    header, size, code, words = HEADERS[name]
    check(write(file, header, bytes(size)), code, words)


def test_all_problems_of_a_file_at_once(file):
    header = {"a": entry("FP8"), "b": entry(shape=[-1]), "c": entry(), "__metadata__": 3}
    with pytest.raises(UserError) as caught:
        read_header(write(file, header, bytes(8)))
    assert len(caught.value.problems) == 3
    overlapping = {"a": entry(), "b": entry(offsets=[4, 12]), "c": entry(offsets=[20, 28])}
    with pytest.raises(UserError) as caught:
        read_header(write(file, overlapping, bytes(10)))
    assert [problem.code for problem in caught.value.found] == ["bad-header", "bad-header", "truncated-shard"]


def test_many_names_are_shortened(file):
    header = {f"t{number:03}": entry(offsets=[8 * number, 8 * number + 8]) for number in range(100)}
    with pytest.raises(UserError, match=r"100 of 100 tensors.*'t004' and 95 more$"):
        read_header(write(file, header))


def test_unreadable(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        check(path, "unreadable-file", ["cannot be read"])
