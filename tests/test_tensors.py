"""Headers of good weight files are read as the safetensors library writes them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from lf_registry.tensors import is_lfs_pointer, read_header
from tensor_files import LFS, QUIET, accepted, entry, write

DTYPES = {"F32": "f4", "F16": "f2", "F64": "f8", "I64": "i8", "U16": "u2", "U8": "u1", "BOOL": "?", "C64": "c8"}


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
