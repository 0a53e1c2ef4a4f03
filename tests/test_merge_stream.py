"""Any shapes, shards, pieces and threads give the bytes of the plain formula."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from lf_registry.merge import arithmetic, stream, worker
from lf_registry.merge.checkpoint import parts_of, read_base
from lf_registry.merge.operations import AddDelta, Operation, OutTensor
from lf_registry.merge.plan import Plan
from lf_registry.merge.shards import shards
from lf_registry.merge.verify import bytes_to_read, verify_tensors
from lf_registry.merge.work import Copy, Merge, shares, work_of
from lf_registry.tensors import read_header

QUIET = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHAPES = st.one_of(
    st.tuples(st.integers(0, 700), st.integers(1, 90)),
    st.tuples(st.integers(1, 40), st.integers(1000, 3000)),
    st.tuples(st.integers(0, 50)),
    st.just(()),
)
TYPES = st.sampled_from([torch.bfloat16, torch.float16, torch.float32, torch.int64])


@st.composite
def models(draw):
    """(tensors with a rank or None, files, bytes of a piece, threads, bytes of a new file or None)."""
    tensors = draw(st.lists(st.tuples(SHAPES, TYPES, st.sampled_from([None, 1, 4, 16, 40])), min_size=1, max_size=7))
    most = draw(st.sampled_from([None, 1, 5_000, 10**9]))
    return tensors, draw(st.integers(1, 3)), draw(st.sampled_from([1, 3000, 1 << 20])), draw(st.integers(1, 4)), most


def adds(shape, dtype, rank) -> bool:
    return rank is not None and len(shape) == 2 and dtype.is_floating_point


@QUIET
@given(model=models(), verified=st.booleans())
def test_any_model(tmp_path_factory, model, verified):
    specs, files, piece, threads, most = model
    folder = tmp_path_factory.mktemp("any")
    torch.manual_seed(len(specs))
    tensors = {f"t{i}": (torch.randn(shape) * 3).to(dtype) for i, (shape, dtype, _) in enumerate(specs)}
    pairs = {}
    for i, (shape, dtype, rank) in enumerate(specs):
        if adds(shape, dtype, rank):
            pairs |= {f"t{i}.A": torch.randn(rank, shape[1]), f"t{i}.B": torch.randn(shape[0], rank)}
    save_file(pairs, folder / "pairs.bin")
    groups = [dict(list(tensors.items())[k::files]) for k in range(files)]
    names = {}
    for k, group in enumerate(groups):
        save_file(group, folder / f"model-{k}.safetensors", metadata={"format": "pt"})
        names |= dict.fromkeys(group, f"model-{k}.safetensors")
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    base = read_base(folder)
    parts = parts_of(read_header(folder / "pairs.bin"))
    planned = {}
    for name, part in base.parts.items():
        delta: tuple[Operation, ...] = ()
        if f"{name}.A" in parts:
            delta = (AddDelta(parts[f"{name}.A"], parts[f"{name}.B"], 1.7),)
        planned[name] = OutTensor(name, part.dtype, part.shape, part, delta)
    plan = Plan(folder, tuple(shards(base, planned, most)))
    out = folder / "out"
    out.mkdir()
    seen = []
    written = stream.write(plan, out, threads=threads, piece=piece, verified=verified, progress=seen.append)
    got = {}
    for shard in plan.shards:
        read_header(out / shard.file)
        got |= load_file(out / shard.file)
    assert set(got) == set(tensors)
    for name, tensor in tensors.items():
        expected = tensor.clone()
        if f"{name}.A" in pairs:
            expected += (pairs[f"{name}.B"] @ pairs[f"{name}.A"]) * 1.7
        assert torch.equal(got[name], expected), name
    assert seen[-1] == sum(tensor.size for tensor in planned.values())
    differ = any(not torch.equal(got[name], tensor) for name, tensor in tensors.items())
    if verified and differ and all(tensor.isfinite().all() for tensor in got.values()):
        verify_tensors(plan, out, written, threads, lambda done: None)


@QUIET
@given(sizes=st.lists(st.integers(0, 1 << 22), max_size=9), threads=st.integers(1, 6))
def test_the_shares_hold_every_byte_once(tmp_path_factory, sizes, threads):
    work, place = [], 0
    for i, size in enumerate(sizes):
        if i % 2:
            tensor = OutTensor(f"t{i}", "F32", (size // 64, 16), None)
            work.append(Merge("f", place, tensor, 0, size // 64))
        else:
            work.append(Copy("f", place, tmp_path_factory.getbasetemp(), place, size))
        place += work[-1].count
    dealt = shares(work, threads)
    assert len(dealt) <= threads
    spans = [(i.begin if isinstance(i, Merge) else i.place, i.count) for share in dealt for i in share if i.count]
    assert sum(count for _, count in spans) == place
    end = 0
    for begin, count in spans:
        assert begin == end
        end += count


REASONS = [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM]


@pytest.mark.parametrize("reason", REASONS, ids=errno.errorcode.get)
def test_without_copy_file_range_bytes_are_read_and_written(tmp_path, monkeypatch, reason):
    def missing(*arguments):
        raise OSError(reason, "cannot")

    monkeypatch.setattr(os, "copy_file_range", missing)
    data = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(data)
    source, target = os.open(tmp_path / "a", os.O_RDONLY), os.open(tmp_path / "b", os.O_RDWR | os.O_CREAT)
    done = 0
    while count := worker.copy_range(source, target, done, done, len(data)):
        done += count
    os.close(source)
    os.close(target)
    assert (tmp_path / "b").read_bytes() == data


def test_neighbouring_copies_become_one(bases):
    base = read_base(bases("llama"))
    planned = {name: OutTensor(name, part.dtype, part.shape, part) for name, part in base.parts.items()}
    plan = Plan(base.folder, tuple(shards(base, planned, None)))
    assert [type(item) for item in work_of(plan)] == [Copy]
    header = plan.shards[0].header
    assert read_header(base.folder / "model.safetensors").size == plan.size
    assert len(header) % 8 == 0


def test_copies_with_a_gap_in_the_source_stay_two(bases):
    base = read_base(bases("llama"))
    some = [base.parts[name] for name in list(base.parts)[::2]]
    planned = {part.name: OutTensor(part.name, part.dtype, part.shape, part) for part in some}
    work = list(work_of(Plan(base.folder, tuple(shards(base, planned, None)))))
    assert [(item.start, item.count) for item in work] == [(part.start, part.end - part.start) for part in some]


def test_finite_values_whose_sum_is_not():
    values = torch.full((100,), 60_000, dtype=torch.float16)
    assert not values.sum().isfinite() and arithmetic._finite(values)
    values[7] = float("inf")
    assert not arithmetic._finite(values)


@pytest.mark.parametrize("broken", ["merged", "copied"])
def test_a_byte_that_changes_on_the_disk_is_found(bases, tmp_path, broken):
    from lf_registry.errors import UserError
    from lf_registry.merge.adapter import read_adapter
    from lf_registry.merge.plan import make_plan
    from merge_models import save_adapter

    base = read_base(bases("llama"))
    adapter = read_adapter(save_adapter(bases("llama"), tmp_path / "adapter", target_modules=["q_proj"]))
    plan = make_plan(base, [adapter])
    (tmp_path / "out").mkdir()
    written = stream.write(plan, tmp_path / "out", threads=2, progress=lambda done: None)
    seen = []
    assert verify_tensors(plan, tmp_path / "out", written, 2, seen.append)["tensors_merged"] == 2
    assert seen == sorted(seen) and seen[-1] == bytes_to_read(plan, written)
    item = written.merged[0].work if broken == "merged" else written.copied[0]
    place = item.begin if isinstance(item, Merge) else item.place
    with (tmp_path / "out" / item.file).open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(UserError, match="read back" if broken == "merged" else "copied from there"):
        verify_tensors(plan, tmp_path / "out", written, 2, seen.append)


def test_an_empty_tensor_at_the_place_of_another_files_tensor(bases, tmp_path):
    from lf_registry.merge.resolve import Request
    from lf_registry.merge.run import run_merge
    from merge_models import save_adapter

    base = tmp_path / "base"
    shutil.copytree(bases("llama", "bf16"), base)
    adapter = save_adapter(base, tmp_path / "adapter", target_modules=["q_proj"])
    rest = load_file(base / "model.safetensors")
    (base / "model.safetensors").unlink()
    groups = {"model-1.safetensors": {"zz": torch.empty(0, dtype=torch.bfloat16)}, "model-2.safetensors": rest}
    for name, tensors in groups.items():
        save_file(tensors, base / name, metadata={"format": "pt"})
    weight_map = {tensor: name for name, tensors in groups.items() for tensor in tensors}
    (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    size = sum(2 * tensor.numel() for tensor in rest.values())
    request = Request((str(adapter),), tmp_path / "out", base=str(base), max_shard_size=size - 1)
    assert run_merge(request, verify="tensors", show=False).report["tensors"]["tensors_merged"] == 2


def test_after_an_error_or_ctrl_c_nothing_more_is_read(bases, tmp_path):
    from lf_registry.merge.adapter import read_adapter
    from lf_registry.merge.plan import make_plan
    from merge_models import save_adapter

    adapter = read_adapter(save_adapter(bases("llama"), tmp_path / "adapter", target_modules=["q_proj"]))
    plan = make_plan(read_base(bases("llama")), [adapter], max_shard_size=20_000)
    (tmp_path / "out").mkdir()
    written = stream.write(plan, tmp_path / "out", threads=1, progress=lambda done: None)
    seen = []

    def interrupted(done):
        seen.append(done)
        time.sleep(0.3 * (len(seen) - 1))  # what was begun meanwhile gives the error time to arrive
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify_tensors(plan, tmp_path / "out", written, 1, interrupted)
    assert len(plan.shards) > 5 and len(seen) <= 2
