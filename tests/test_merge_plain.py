"""Merging without torch gives torch's bits."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lf_registry.merge import arithmetic, aten, plain
from lf_registry.merge.aten import View
from lf_registry.merge.checkpoint import parts_of
from lf_registry.merge.operations import AddDelta, OutTensor
from lf_registry.tensors import read_header
from merge_models import save_adapter

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch is imported")
TYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
#: NaN with bits that a careless rounding turns into a number.
NAN_THAT_ROUNDS_TO_ZERO = 0x7FFFFFFF


@needs_linux
def test_torchs_library_still_has_its_interface():
    assert aten.available()


@needs_linux
def test_what_torch_refuses_is_an_error(capfd):
    with pytest.raises(RuntimeError, match="cpu_mm_out failed"):
        aten.product(*(View(np.ones((2, 3), np.float32)) for _ in range(3)))
    assert "mat1 and mat2" in capfd.readouterr().err


@needs_linux
def test_a_library_that_is_missing_or_another(monkeypatch, tmp_path):
    for place in ([], [str(tmp_path)]):
        spec = SimpleNamespace(submodule_search_locations=place)
        monkeypatch.setattr(aten.importlib.util, "find_spec", lambda name, spec=spec: spec)
        assert aten._load.__wrapped__() is None
    monkeypatch.undo()
    monkeypatch.setattr(aten, "_FUNCTIONS", ("no_such_function",))
    assert aten._load.__wrapped__() is None


@needs_linux
def test_a_thread_that_computes_alone_stays_alone():
    def threads_after_a_large_operation():
        aten.one_thread()
        aten.convert(View(np.zeros(1 << 20, np.float32)), View(np.zeros(1 << 20, np.uint16), "BF16"))
        return aten._library().omp_get_max_threads()

    torch.set_num_threads(3)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(threads_after_a_large_operation).result() == 1
    assert torch.get_num_threads() == 3


@needs_linux
@settings(max_examples=60, deadline=None)
@given(m=st.integers(32, 300), k=st.integers(1, 130), n=st.integers(32, 300))
def test_any_product_has_torchs_bits(m, k, n):
    torch.manual_seed(m * k * n)
    b, a = torch.randn(m, k), torch.randn(k, n)
    out = np.empty((m, n), np.float32)
    aten.product(View(b.numpy()), View(a.numpy()), View(out))
    assert torch.equal(torch.from_numpy(out), b @ a)


@pytest.fixture(scope="module")
def tensors(tmp_path_factory):
    """Make an ``OutTensor`` [rows, width] that adapters of these ranks are merged into, and its bytes."""
    folder = tmp_path_factory.mktemp("plain")

    def make(rows, width, dtype, kind, pairs, value=1.0):
        torch.manual_seed(rows + width)
        saved = {"w": (torch.randn(rows, width) * value).to(TYPES[dtype])}
        for i, (rank, _) in enumerate(pairs):
            saved |= {f"a{i}": torch.randn(rank, width).to(kind), f"b{i}": torch.randn(rows, rank).to(kind)}
        file = folder / f"{len(list(folder.iterdir()))}.safetensors"
        save_file(saved, file)
        parts = parts_of(read_header(file))
        steps = tuple(AddDelta(parts[f"a{i}"], parts[f"b{i}"], scale) for i, (_, scale) in enumerate(pairs))
        data = bytearray(saved["w"].view(torch.uint8).numpy().tobytes())
        return OutTensor("w", dtype, (rows, width), parts["w"], steps, dtype), data

    return make


@pytest.fixture(scope="module", autouse=True)
def _other_tests_keep_their_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(engine, tensor, data, first=0):
    view = memoryview(bytearray(data))[first * tensor.size // tensor.shape[0] :]

    def merge():  # in a thread of its own, as a merge does it: the engines let their thread compute alone
        merged, finite = engine.Rows(tensor).merge(view, first, engine.Scratch())
        return bytes(merged), finite

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(merge).result()


@needs_linux
@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(32, 200),
    width=st.integers(32, 200),
    dtype=st.sampled_from(list(TYPES)),
    kind=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    pairs=st.lists(st.tuples(st.integers(1, 70), st.sampled_from([1.0, 2.0, 0.5, 1.7, -3.1])), max_size=3),
)
def test_any_tensor_has_torchs_bits(tensors, rows, width, dtype, kind, pairs):
    tensor, data = tensors(rows, width, dtype, kind, pairs)
    assert plain.possible([tensor])
    assert run(plain, tensor, data) == run(arithmetic, tensor, data)
    assert run(plain, tensor, data, rows - 32) == run(arithmetic, tensor, data, rows - 32)


@needs_linux
@pytest.mark.parametrize("dtype", list(TYPES))
@pytest.mark.parametrize("pairs", [[], [(4, 1.7)]], ids=["replaced", "merged"])
@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_no_number_is_seen(tensors, dtype, pairs, broken):
    tensor, data = tensors(40, 40, dtype, torch.float32, pairs)
    assert run(plain, tensor, data)[1]
    size = len(data) // 1600
    data[-size:] = torch.tensor([broken]).to(TYPES[dtype]).view(torch.uint8).numpy().tobytes()
    assert not run(plain, tensor, data)[1]


@needs_linux
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("matrix", ["a0", "b0"])
@pytest.mark.parametrize("scaling", [1.0, 1.7, -2.0])
@pytest.mark.parametrize("bits", [NAN_THAT_ROUNDS_TO_ZERO, NAN_THAT_ROUNDS_TO_ZERO | 0x80000000, 0x7F800001])
def test_no_nan_of_an_adapter_becomes_a_number(tensors, matrix, scaling, bits):
    tensor, data = tensors(40, 40, "BF16", torch.float32, [(4, scaling)])
    (step,) = tensor.operations
    part = step.a if matrix == "a0" else step.b
    with part.path.open("r+b") as file:
        file.seek(part.start)
        file.write(bits.to_bytes(4, "little"))
    merged, finite = run(plain, tensor, data)
    expected, _ = run(arithmetic, tensor, data)
    merged, expected = (torch.frombuffer(bytearray(each), dtype=torch.bfloat16) for each in (merged, expected))
    assert not finite
    assert expected.isnan().any() and torch.equal(merged.isnan(), expected.isnan())


@needs_linux
@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
def test_a_sum_that_becomes_infinite_is_seen(tensors, dtype):
    largest = float(torch.finfo(TYPES[dtype]).max)
    tensor, data = tensors(40, 40, dtype, torch.float32, [(8, largest / 4)])
    merged, finite = run(plain, tensor, data)
    assert (merged, finite) == run(arithmetic, tensor, data)
    assert not finite


@needs_linux
@pytest.mark.parametrize("pairs", [[(4, 1.7)], []])
def test_what_is_not_plain_is_left_to_torch(tensors, pairs):
    tensor, _ = tensors(40, 40, "BF16", torch.float32, pairs)
    assert plain.possible([tensor])
    assert not plain.possible([tensor, replace(tensor, dtype="F32")])
    assert not plain.possible([replace(tensor, working="F32")])
    if pairs:
        (step,) = tensor.operations
        for change in ({"transposed": True}, {"embedding": True}, {"magnitude": step.a}):
            assert not plain.possible([replace(tensor, operations=(replace(step, **change),))])
        narrow, _ = tensors(40, 31, "BF16", torch.float32, pairs)
        assert not plain.possible([narrow])


@needs_linux
def test_a_plain_merge_does_not_import_torch(bases, tmp_path):
    """The import costs more than the merge of a model of three gigabytes."""
    base = bases("llama")
    adapter = save_adapter(base, tmp_path / "adapter", target_modules=["q_proj", "v_proj"])
    code = f"""
import sys
from pathlib import Path
from lf_registry.merge.resolve import Request
from lf_registry.merge.run import run_merge
run_merge(Request(({str(adapter)!r},), Path({str(tmp_path / "out")!r})), verify="tensors", show=False)
print([name for name in ("torch", "transformers", "peft") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
