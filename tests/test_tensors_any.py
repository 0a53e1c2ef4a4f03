"""Whatever the bytes of a file are, its header is read or refused in words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf_registry.errors import UserError
from lf_registry.tensors import BadTensorFile, read_header
from tensor_files import QUIET, accepted, entry, write

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
