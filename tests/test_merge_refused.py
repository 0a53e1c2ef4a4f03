"""What cannot be merged is refused by name before a byte is written, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import resource
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lf_registry.errors import UserError
from lf_registry.merge.adapter_config import read_config
from lf_registry.merge.resolve import Request, bytes_of, request_from_recipe
from lf_registry.merge.run import run_merge
from lf_registry.merge.safe import put_in_place, temporary_folder
from merge_models import save_adapter
from tensor_files import LFS, entry, write


@pytest.fixture(scope="module")
def pair(bases, tmp_path_factory):
    """A base in several files and an adapter."""
    folder = tmp_path_factory.mktemp("pair")
    base = Path(shutil.copytree(bases("llama", "bf16", "100KB"), folder / "base"))
    return base, save_adapter(base, folder / "adapter", target_modules=["q_proj", "v_proj"])


@pytest.fixture
def broken(pair, tmp_path):
    """Copies of both, to be broken."""
    return tuple(Path(shutil.copytree(folder, tmp_path / name)) for folder, name in zip(pair, "ba", strict=True))


def set_keys(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(base: Path, adapter: Path, *words: str, **options) -> None:
    out = adapter.parent / "out"
    with pytest.raises(UserError) as caught:
        run_merge(Request((str(adapter),), out, base=str(base), **options), verify="tensors", show=False)
    for word in words:
        assert word in str(caught.value)
    assert not out.exists()
    assert not list(adapter.parent.glob(".out*"))


CONFIG = {
    "prefix": ({"peft_type": "PREFIX_TUNING"}, "peft_type: PREFIX_TUNING"),
    "prompt": ({"peft_type": "PROMPT_TUNING"}, "peft_type: PROMPT_TUNING"),
    "other-method": ({"peft_type": "OFT"}, "peft_type: OFT"),
    "no-type": ({"peft_type": None}, "peft_type"),
    "pissa": ({"init_lora_weights": "pissa_niter_16"}, "init_lora_weights"),
    "olora": ({"init_lora_weights": "olora"}, "init_lora_weights"),
    "alora": ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens"),
    "arrow": ({"arrow_config": {"top_k": 3}}, "arrow_config"),
    "qalora": ({"use_qalora": True}, "use_qalora"),
    "replication": ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
    "megatron": ({"megatron_config": {"x": 1}}, "megatron_config"),
    "rank": ({"r": 4}, "rank_pattern"),
    "no-rank": ({"r": 0}, "r: must be a number above 0"),
    "alpha": ({"lora_alpha": "much"}, "lora_alpha"),
    "dora": ({"use_dora": True}, "use_dora"),
    "bias": ({"bias": "some"}, "bias: 'some'"),
    "saved-nothing": ({"modules_to_save": ["lm_head"]}, "modules_to_save: 'lm_head'"),
    "new-experts": ({"target_parameters": ["x.y"], "peft_version": "0.19.0"}, "target_parameters"),
    "unknown-key": ({"use_tomorrows_lora": True}, "use_tomorrows_lora: PEFT 0.18 does not know this key"),
    "lora-ga": ({"init_lora_weights": "lora_ga"}, "init_lora_weights"),
    "no-pattern": ({"rank_pattern": {"(": 4}}, "rank_pattern: '('"),
    "no-number": ({"alpha_pattern": {"q_proj": "much"}}, "alpha_pattern: 'q_proj': 'much'"),
    "target-no-pattern": ({"target_modules": "["}, "target_modules: '['"),
    "target-number": ({"target_modules": 5}, "target_modules: must be a list"),
    "patterns": ({"rank_pattern": ["q_proj"]}, "rank_pattern: must be an object"),
}


@pytest.mark.parametrize(("changes", "words"), CONFIG.values(), ids=CONFIG)
def test_an_adapter_config_that_cannot_be_merged(broken, changes, words):
    set_keys(broken[1] / "adapter_config.json", **changes)
    refused(*broken, "adapter_config.json", words)


def test_a_prompt_is_said_to_be_used_as_it_is(broken):
    _, adapter = broken
    set_keys(adapter / "adapter_config.json", peft_type="PREFIX_TUNING")
    with pytest.raises(UserError) as caught:
        read_config(adapter)
    assert "llamafactory-cli chat" in caught.value.hint and str(adapter) in caught.value.hint


def test_every_key_of_pefts_config_is_known():
    from dataclasses import fields

    from peft import LoraConfig

    from lf_registry.merge import adapter_config as ours

    names = {field.name for field in fields(LoraConfig)}
    assert names == ours._KNOWN | set(ours._DEFAULTS) | set(ours._REFUSED)


def test_a_targeted_module_without_tensors(broken):
    set_keys(broken[1] / "adapter_config.json", target_modules=["q_proj", "v_proj", "k_proj"])
    refused(*broken, "layers.0.self_attn.k_proj", "target_modules")


def test_a_targeted_module_of_a_renamed_model_without_tensors(bases, tmp_path):
    base = bases("qwen2-vl")
    adapter = save_adapter(base, tmp_path / "a", target_modules=["q_proj", "v_proj"])
    set_keys(adapter / "adapter_config.json", target_modules=["q_proj", "v_proj", "up_proj", "lm_head"])
    refused(base, adapter, "model.language_model.layers.0.mlp.up_proj", "lm_head", "target_modules")


def change_adapter(change):
    def apply(base: Path, adapter: Path) -> None:
        tensors = load_file(adapter / "adapter_model.safetensors")
        change(tensors)
        save_file(tensors, adapter / "adapter_model.safetensors")

    return apply


Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_"


def drop(tensors):
    del tensors[Q + "B.weight"]


def foreign(tensors):
    tensors["base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight"] = tensors[Q + "A.weight"].clone()
    tensors["base_model.model.model.layers.9.self_attn.q_proj.lora_B.weight"] = tensors[Q + "B.weight"].clone()


def unknown(tensors):
    tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_C"] = tensors[Q + "A.weight"].clone()


def unprefixed(tensors):
    tensors["model.layers.0.self_attn.q_proj.lora_A.weight"] = tensors[Q + "A.weight"].clone()


def narrow(tensors):
    tensors[Q + "A.weight"] = tensors[Q + "A.weight"][:, :-1].clone()


def integers(tensors):
    tensors[Q + "A.weight"] = tensors[Q + "A.weight"].int()


def empty(tensors):
    tensors.clear()


ADAPTER = {
    "half-a-pair": (drop, "lora_B is missing"),
    "another-base": (foreign, "layers.9.self_attn.q_proj"),
    "unknown-key": (unknown, "lora_C"),
    "no-prefix": (unprefixed, "does not begin with"),
    "shape": (narrow, "does not fit"),
    "integers": (integers, "is I32"),
    "nothing": (empty, "holds no tensor"),
}


@pytest.mark.parametrize(("change", "words"), ADAPTER.values(), ids=ADAPTER)
def test_an_adapter_whose_tensors_do_not_fit(broken, change, words):
    change_adapter(change)(*broken)
    refused(*broken, "adapter_model.safetensors", words)


def test_trained_tokens_that_do_not_fit(bases, tmp_path):
    base = bases("llama")
    adapter = save_adapter(base, tmp_path / "a", target_modules=["q_proj"], trainable_token_indices=[3, 5])
    for indices, words in (([3, 160], "rows [3, 160]"), ([3, 3], "an index stands there twice"), ([3], "does not fit")):
        set_keys(adapter / "adapter_config.json", trainable_token_indices=indices)
        refused(base, adapter, words)


def test_dora_and_trained_tokens_on_an_embedding_with_lora(bases, tmp_path):
    base = bases("llama")
    adapter = save_adapter(base, tmp_path / "dora", target_modules=["embed_tokens"], use_dora=True)
    refused(base, adapter, "use_dora: DoRA on an embedding (model.embed_tokens) is not supported")
    adapter = save_adapter(base, tmp_path / "a", target_modules=["q_proj", "embed_tokens"])
    set_keys(adapter / "adapter_config.json", trainable_token_indices=[3])
    key = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
    change_adapter(lambda tensors: tensors.update({key: torch.zeros(1, 64)}))(base, adapter)
    refused(base, adapter, "trainable_token_indices: 'model.embed_tokens' has LoRA too")


def test_an_adapter_around_an_adapter(broken):
    def nest(tensors):
        for name in list(tensors):
            tensors[name.replace(".lora_", ".base_layer.lora_")] = tensors.pop(name)

    change_adapter(nest)(*broken)
    refused(*broken, "stands inside another adapter's wrapper")


def test_one_of_two_vocabularies_resized(bases, tmp_path):
    base = bases("llama")
    saved = {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}
    adapter = save_adapter(base, tmp_path / "a", resize=192, **saved)
    change_adapter(lambda tensors: tensors.pop("base_model.model.model.embed_tokens.weight"))(base, adapter)
    refused(base, adapter, "the resized vocabularies do not agree", "embed_tokens.weight 160", "lm_head.weight 192")


def first(base: Path) -> Path:
    return sorted(base.glob("*.safetensors"))[0]


def truncate(base, adapter):
    os.truncate(first(base), first(base).stat().st_size - 10)


def long_header(base, adapter):
    data = bytearray(first(base).read_bytes())
    data[:8] = (10**9).to_bytes(8, "little")
    first(base).write_bytes(data)


def overlap(base, adapter):
    write(first(base), {"a": entry(offsets=(0, 8)), "b": entry(offsets=(4, 12))}, b"\0" * 12)


def twice(base, adapter):
    write(first(base), b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{}}')


def lost_shard(base, adapter):
    first(base).unlink()


def link_loop(base, adapter):
    path = first(base)
    path.unlink()
    path.symlink_to(path)


def pointer(base, adapter):
    first(base).write_bytes(LFS)


def index_lies(base, adapter):
    path = base / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["model.ghost.weight"] = first(base).name
    path.write_text(json.dumps(index))


def index_leaves(base, adapter):
    path = base / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    files = index["weight_map"]
    del files[next(name for name, file in files.items() if list(files.values()).count(file) > 1)]
    path.write_text(json.dumps(index))


def index_outside(base, adapter):
    set_keys(base / "model.safetensors.index.json", weight_map={"a": "../secret.safetensors"})


def index_broken(base, adapter):
    (base / "model.safetensors.index.json").write_text("{")


def no_weights(base, adapter):
    for path in base.glob("*.safetensors*"):
        path.unlink()


def pickled(base, adapter):
    no_weights(base, adapter)
    (base / "pytorch_model.bin").write_bytes(b"x")


def quantized(base, adapter):
    set_keys(base / "config.json", quantization_config={"quant_method": "bitsandbytes"})


def no_config(base, adapter):
    (base / "config.json").unlink()


def config_list(base, adapter):
    (base / "config.json").write_text("[]")


def adapter_truncated(base, adapter):
    os.truncate(adapter / "adapter_model.safetensors", 200)


def adapter_pickled(base, adapter):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")


def adapter_gone(base, adapter):
    (adapter / "adapter_model.safetensors").unlink()


def whole_model(base, adapter):
    (adapter / "adapter_config.json").unlink()
    (adapter / "config.json").write_text("{}")


def integer_weights(base, adapter):
    for file in base.glob("*.safetensors"):
        save_file({name: tensor.int() for name, tensor in load_file(file).items()}, file)


FILES = {
    "truncated": (truncate, "truncated"),
    "header-beyond-the-file": (long_header, "the first 8 bytes say"),
    "overlapping": (overlap, "overlap"),
    "duplicate-key": (twice, "twice"),
    "lost-shard": (lost_shard, "cannot be read"),
    "link-loop": (link_loop, "symbolic links"),
    "lfs-pointer": (pointer, "Git LFS pointer"),
    "index-names-a-ghost": (index_lies, "model.ghost.weight"),
    "index-leaves-one-out": (index_leaves, "is not in model.safetensors.index.json"),
    "index-outside": (index_outside, "outside the folder"),
    "index-broken": (index_broken, "is not JSON"),
    "no-weights": (no_weights, "no weights"),
    "pickled": (pickled, "pytorch_model.bin"),
    "quantized": (quantized, "--base"),
    "no-config": (no_config, "config.json"),
    "config-is-a-list": (config_list, "JSON object"),
    "adapter-truncated": (adapter_truncated, "truncated"),
    "adapter-pickled": (adapter_pickled, "adapter_model.bin"),
    "adapter-gone": (adapter_gone, "has no adapter_model.safetensors"),
    "whole-model": (whole_model, "it is a whole model"),
    "integer-weights": (integer_weights, "is I32"),
}


@pytest.mark.parametrize(("change", "words"), FILES.values(), ids=FILES)
def test_broken_files(broken, change, words):
    change(*broken)
    refused(*broken, words)


def test_everything_wrong_is_said_at_once(broken):
    set_keys(broken[1] / "adapter_config.json", use_qalora=True, init_lora_weights="pissa", r=-1)
    refused(*broken, "3 problems", "use_qalora", "init_lora_weights", "r: must")


def test_a_nan_in_the_adapter_is_found_before_anything_is_put_in_place(broken):
    change_adapter(lambda tensors: tensors[Q + "B.weight"].view(-1)[:1].fill_(float("nan")))(*broken)
    refused(*broken, "NaN", "layers.0.self_attn.q_proj")


def test_an_adapter_that_changes_nothing(broken):
    change_adapter(lambda tensors: [tensor.zero_() for tensor in tensors.values()])(*broken)
    refused(*broken, "equals its base")


@pytest.mark.parametrize("name", ["outputs/my_lroa", "./outputs/my lora"])
def test_a_mistyped_folder(project, name):
    project("outputs/my_lora/adapter_config.json", {})
    with pytest.raises(UserError, match="did you mean 'outputs/my_lora'"):
        run_merge(Request((name,), project.root / "out"), show=False)


def test_an_unknown_template(broken):
    refused(*broken, "did you mean 'llama3-ironman'", template="lama3-ironman")


@pytest.mark.parametrize("free", [1000, 10 << 20], ids=["nothing", "the-weights-alone"])
def test_a_full_disk_is_seen_before_writing(broken, monkeypatch, free):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type(usage)(usage.total, usage.total, free))
    refused(*broken, "are free", "room")


@pytest.mark.parametrize("most", [10, 20_000], ids=["config", "weights"])
def test_a_file_that_cannot_be_written_to_its_end(broken, most):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        refused(*broken, "File too large", "nothing was changed")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_target_whose_name_is_too_long(pair, tmp_path):
    base, adapter = pair
    with pytest.raises(UserError, match=r"--out: .*File name too long"):
        run_merge(Request((str(adapter),), tmp_path / ("a" * 300), base=str(base)), show=False)


def test_what_came_to_the_target_during_the_merge_is_kept(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "theirs.txt").write_text("x")
    with pytest.raises(UserError, match="cannot be put in place"), temporary_folder(tmp_path / "out") as folder:
        (folder / "config.json").write_text("{}")
        put_in_place(folder, tmp_path / "out", overwrite=False)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs.txt"]


def test_an_existing_target_is_kept(pair, tmp_path):
    base, adapter = pair
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    for overwrite, words in ((False, "--overwrite"), (True, "no config.json")):
        with pytest.raises(UserError, match=words):
            run_merge(Request((str(adapter),), tmp_path / "out", base=str(base)), overwrite=overwrite, show=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "mine.txt").read_text() == "x"


def test_the_target_is_not_a_source(pair):
    base, adapter = pair
    for target in (base, adapter, base.parent):
        with pytest.raises(UserError, match="is or holds what is merged"):
            run_merge(Request((str(adapter),), target, base=str(base)), overwrite=True, show=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_target_that_cannot_be_written(pair, tmp_path):
    tmp_path.chmod(0o500)
    refused(*pair, "cannot be written")


RECIPE = "model_name_or_path: b\nadapter_name_or_path: a\nexport_dir: o\n"
KEYS = {
    "quantize": ("export_quantization_bit: 4", "export_quantization_bit"),
    "push": ("export_hub_model_id: me/x", "export_hub_model_id"),
    "full": ("finetuning_type: full", "finetuning_type"),
    "reward": ("stage: rm", "stage"),
    "dtype": ("infer_dtype: int8", "infer_dtype"),
    "size": ("export_size: 0", "export_size"),
    "4-bit": ("quantization_bit: 4", "quantization_bit"),
    "typo": ("infer_dtyp: float16", "infer_dtyp.*did you mean 'infer_dtype'"),
    "no-text": ("default_system: 5", "default_system"),
    "no-name": ("template: 5", "template"),
    "a-list": ("cache_dir: [a, b]", "cache_dir"),
    "rope": ("rope_scaling: linear", "rope_scaling"),
    "new-tokens": ("add_tokens: <a>,<b>", "add_tokens"),
    "another-architecture": ("mixture_of_depths: convert", "mixture_of_depths"),
    "from-scratch": ("train_from_scratch: true", "train_from_scratch"),
}


@pytest.mark.parametrize(("line", "words"), KEYS.values(), ids=KEYS)
def test_a_recipe_that_asks_for_more_than_a_merge(project, line, words):
    with pytest.raises(UserError, match=words):
        request_from_recipe(str(project("r.yaml", RECIPE + line + "\n")))


def test_a_recipe_without_its_keys(project):
    with pytest.raises(UserError, match="3 problems"):
        request_from_recipe(str(project("r.yaml", "template: llama3\n")))


def test_sizes():
    assert [bytes_of(text) for text in ("5GB", "900 MB", "1.5GiB", "2kb")] == [5 * 10**9, 9 * 10**8, 3 << 29, 2000]
    for text in ("5", "GB", "0GB", "-1GB", "5 apples"):
        with pytest.raises(UserError, match="is no size"):
            bytes_of(text)
