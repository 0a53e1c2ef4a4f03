from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lf_registry.errors import UserError
from lf_registry.tensors import BadTensorFile, is_lfs_pointer, read_header

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DTYPES = {"F32": "f4", "F16": "f2", "F64": "f8", "I64": "i8", "U16": "u2", "U8": "u1", "BOOL": "?", "C64": "c8"}


def write(path: Path, header, values: bytes = b"", *, length: int | None = None) -> Path:
    """Write a file with any header; its length is stated correctly unless ``length`` says otherwise."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + values)
    return path


def accepted(path: Path) -> bool:
    """Whether the safetensors library opens the file."""
    try:
        with safe_open(path, framework="numpy"):
            return True
    except SafetensorError:
        return False


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "x.safetensors"


@QUIET
@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(sorted(DTYPES)), st.lists(st.integers(0, 5), max_size=4)),
        max_size=8,
    ),
    st.dictionaries(st.text(), st.text(), max_size=3),
)
def test_what_safetensors_writes_reads_back_equal(tmp_path, tensors, metadata):
    path = tmp_path / "written.safetensors"
    arrays = {
        name: np.full(shape, number, DTYPES[dtype]) for number, (name, (dtype, shape)) in enumerate(tensors.items())
    }
    save_file(arrays, path, metadata or None)
    header = read_header(path)
    assert {name: (t.dtype, list(t.shape)) for name, t in header.tensors.items()} == tensors
    assert header.metadata == metadata
    assert header.size == path.stat().st_size
    content = path.read_bytes()
    for name, tensor in header.tensors.items():
        assert content[tensor.start : tensor.end] == arrays[name].tobytes()


VALID = json.dumps({"a": entry(), "b": entry("BF16", (2, 3), (8, 20)), "__metadata__": {"format": "pt"}}).encode()


@QUIET
@given(st.lists(st.tuples(st.integers(0, len(VALID) + 7), st.integers(0, 255)), min_size=1, max_size=6), st.binary())
def test_a_corrupted_header_raises_nothing_but_a_user_error(tmp_path, changes, tail):
    path = write(tmp_path / "corrupt.safetensors", VALID, bytes(20) + tail)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place] = value
    path.write_bytes(content)
    try:
        read_header(path)
    except UserError as error:
        assert str(path) in str(error)
        str(error).encode()  # can be printed
    else:
        assert accepted(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    st.lists,
    max_leaves=5,
)


@QUIET
@given(st.dictionaries(st.text(), JSON | st.fixed_dictionaries({"dtype": JSON, "shape": JSON, "data_offsets": JSON})))
def test_any_json_raises_nothing_but_a_user_error(tmp_path, content):
    path = write(tmp_path / "any.safetensors", content)
    try:
        read_header(path)
    except UserError as error:
        str(error).encode()


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":' + b"[" * 100_000,
        b'{"a":' + b'{"a":' * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"\\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}',
        json.dumps({"a": entry(shape=[3] * 200_000)}).encode(),
        json.dumps({"a": entry("F" * 1_000_000)}).encode(),
        b'{"a": {"dtype": "F32", "shape": ' + b"[" * 900 + b"]" * 900 + b', "data_offsets": [0, 8]}}',
    ],
    ids=["brackets", "braces", "digits", "surrogate", "sizes", "dtype", "nested"],
)
def test_hostile_headers_end_quickly_in_a_printable_user_error(file, text):
    with pytest.raises(BadTensorFile) as caught:
        read_header(write(file, text))
    assert len(str(caught.value).encode()) < 2000


def test_brackets_of_every_depth(file):
    for depth in range(400, 1100):
        header = b'{"a": {"dtype": "F32", "shape": ' + b"[" * depth + b"]" * depth + b', "data_offsets": [0, 8]}}'
        with pytest.raises(BadTensorFile):
            read_header(write(file, header))


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456\n"
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


def check(path, code, words):
    with pytest.raises(UserError) as caught:
        read_header(path)
    assert [problem.code for problem in caught.value.found] == [code]
    assert str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert not path.is_file() or not accepted(path)


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


def test_what_the_format_allows(file):
    header = {"scalar": entry(shape=[], offsets=[0, 4]), "none": entry(shape=[0, 3], offsets=[4, 4], extra=1)}
    packed = {"f4": entry("F4", [4], [4, 6])}
    found = read_header(write(file, json.dumps(header | packed).encode() + b"   ", bytes(6)))
    assert accepted(file)
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == {"scalar": (), "none": (0, 3), "f4": (4,)}
    assert read_header(write(file, {})).tensors == {}


def test_pointer(file):
    assert not is_lfs_pointer(file)
    file.write_bytes(LFS)
    assert is_lfs_pointer(file)


def test_reading_headers_does_not_import_torch():
    code = "import sys, lf_registry.tensors; print(sorted({'torch', 'numpy', 'safetensors'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
