"""Safetensors files made by hand, and what the library itself says of them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from safetensors import SafetensorError, safe_open

from lf_registry.errors import UserError
from lf_registry.tensors import read_header

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456\n"


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


def check(path, code, words):
    with pytest.raises(UserError) as caught:
        read_header(path)
    assert [problem.code for problem in caught.value.found] == [code]
    assert str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert not path.is_file() or not accepted(path)
