"""What a folder is, and that nothing incomplete is published."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest

from folder_changes import INDEX, WEIGHTS, both, cut, edit, remove, tensors, text
from lf_registry.errors import UserError
from lf_registry.publish.base_model import base_model_id, is_hub_id
from lf_registry.publish.complete import complete, refuse_incomplete
from lf_registry.publish.recognize import recognize
from lf_registry.recipes import Recipe

ADAPTER = "adapter_model.safetensors"


def recipe(**values) -> Recipe:
    return Recipe(Path("recipes/x.yaml"), values)


def codes(folder: Path) -> list[tuple[str, str]]:
    return [(found.severity, found.code) for found in complete(recognize(folder))[0]]


@pytest.mark.parametrize(
    ("name", "kind", "peft"),
    [
        ("llama", "model", None),
        ("sharded", "model", None),
        ("qwen2-vl", "model", None),
        ("adapter", "adapter", "LORA"),
        ("adapter-gpt2", "adapter", "LORA"),
        ("adapter-prefix", "adapter", "PREFIX_TUNING"),
    ],
)
def test_what_is_published(models, name, kind, peft):
    artifact = recognize(models(name))
    assert (artifact.kind, artifact.peft_type) == (kind, peft)
    assert artifact.weights == tuple(sorted(models(name).glob("*.safetensors")))
    assert ("config" in artifact.facts) == (kind == "model")
    assert artifact.checkpoints == ()
    assert [found for found in complete(artifact)[0] if found.severity == "error"] == []


def training(models, folder: Path, name: str, steps=(5, 10, 100)) -> Path:
    shutil.copytree(models(name), folder, dirs_exist_ok=True)
    for step in steps:
        shutil.copytree(models(name), folder / f"checkpoint-{step}")
        (folder / f"checkpoint-{step}" / "trainer_state.json").write_text(
            json.dumps({"global_step": step, "best_model_checkpoint": f"/workspace/out/checkpoint-{steps[0]}"})
        )
    return folder


@pytest.mark.parametrize("name", ["adapter", "llama", "sharded"])
def test_a_training_output_has_checkpoints_by_step(models, tmp_path, name):
    folder = training(models, tmp_path, name)
    (folder / "checkpoint-7").mkdir()
    shutil.copytree(models("llama" if name == "adapter" else "adapter"), folder / "checkpoint-8")
    (folder / "checkpoint-best").mkdir()
    artifact = recognize(folder)
    assert [place.name for place in artifact.checkpoints] == ["checkpoint-5", "checkpoint-10", "checkpoint-100"]
    inner = recognize(folder / "checkpoint-10")
    assert inner.kind == artifact.kind and inner.facts["trainer_state"]["global_step"] == 10


@pytest.mark.parametrize(
    ("stated", "named", "base", "on_the_hub"),
    [
        ("Qwen/Qwen2-7B", None, "Qwen/Qwen2-7B", "Qwen/Qwen2-7B"),
        ("Qwen/Qwen2-7B", "other/model", "Qwen/Qwen2-7B", "Qwen/Qwen2-7B"),
        ("/workspace/base", "Qwen/Qwen2-7B", "/workspace/base", "Qwen/Qwen2-7B"),
        ("outputs/base", None, "outputs/base", None),
        ("a/b/c", None, "a/b/c", None),
        ("", "Qwen/Qwen2-7B", "Qwen/Qwen2-7B", "Qwen/Qwen2-7B"),
        (None, None, None, None),
        (
            "/x/hub/models--kakaocorp--kanana-1.5-8b/snapshots/0a1b",
            None,
            "/x/hub/models--kakaocorp--kanana-1.5-8b/snapshots/0a1b",
            "kakaocorp/kanana-1.5-8b",
        ),
    ],
)
def test_the_base_model(copied, stated, named, base, on_the_hub):
    folder = copied("adapter")
    edit("adapter_config.json", base_model_name_or_path=stated)(folder)
    made_with = recipe(model_name_or_path=named) if named else None
    artifact = recognize(folder, made_with)
    assert artifact.base_model == base
    assert base_model_id(artifact.base_model, named) == on_the_hub


def test_a_folder_that_looks_like_an_id_is_a_folder(project):
    assert is_hub_id("owner/name")
    project("owner/name/config.json", {})
    assert not is_hub_id("owner/name")


def only_checkpoints(name: str):
    def make(models, folder: Path) -> Path:
        training(models, folder, name)
        remove("*.safetensors", "adapter_config.json", "config.json")(folder)
        return folder

    return make


def partitions(kind: str, *, inside: str = "", gathered: bool = False):
    def make(models, folder: Path) -> Path:
        place = folder / inside
        (place / "global_step5").mkdir(parents=True, exist_ok=True)
        (place / "global_step5" / "zero_pp_rank_0_mp_rank_00_model_states.pt").write_bytes(b"x")
        (place / "latest").write_text("global_step5")
        name = "adapter_config.json" if kind == "adapter" else "config.json"
        shutil.copy(models("adapter" if kind == "adapter" else "llama") / name, place)
        return folder

    return make


def copy_of(name: str, where: str = "", *changes):
    def make(models, folder: Path) -> Path:
        shutil.copytree(models(name), folder / where, dirs_exist_ok=True)
        for change in changes:
            change(folder / where)
        return folder

    return make


def holding(**files):
    def make(models, folder: Path) -> Path:
        for name, content in files.items():
            text(name.replace("__", "/").replace("_DOT_", "."), content)(folder)
        return folder

    return make


def cached(below: str):
    def make(models, folder: Path) -> Path:
        place = folder / "hub" / "models--Qwen--Qwen2-7B"
        shutil.copytree(models("llama"), place / "snapshots" / ("0" * 40))
        (place / "blobs").mkdir()
        return place / below

    return make


REFUSED = {
    "empty": (holding(), ["is empty", "that was trained or merged"]),
    "missing": (lambda models, folder: folder / "nope", ["there is no such folder"]),
    "missing, one near": (
        lambda models, folder: copy_of("llama", "model")(models, folder) / "modle",
        ["there is no such folder", "/model"],
    ),
    "a weight file": (
        lambda models, folder: copy_of("llama")(models, folder) / WEIGHTS,
        ["is a file", "name the folder: "],
    ),
    "a dataset": (holding(dataset_info_DOT_json="{}", rows_DOT_json="[]"), ["holds data", "--repo-type dataset"]),
    "rows only": (holding(train_DOT_jsonl="{}\n", README_DOT_md="x"), ["holds data (train.jsonl)"]),
    "a cache": (cached(""), ["the cache of the Hub's files", "Qwen/Qwen2-7B"]),
    "a snapshot": (cached("snapshots/" + "0" * 40), ["the cache of the Hub's files", "Qwen/Qwen2-7B"]),
    "one level too high": (copy_of("adapter", "ironman"), ["has no weights itself", "lf-registry publish", "/ironman"]),
    "two levels too high": (copy_of("llama", "a/b"), ["has no weights itself", "/a/b"]),
    "unfinished adapter": (
        only_checkpoints("adapter"),
        ["did not finish", "its best by the evaluation: lf-registry publish", "/checkpoint-5 "],
    ),
    "unfinished under ZeRO, with weights": (
        lambda models, folder: partitions("adapter", inside="checkpoint-10")(
            models, only_checkpoints("adapter")(models, folder)
        ),
        ["did not finish", "/checkpoint-5 "],
    ),
    "unfinished model": (only_checkpoints("llama"), ["did not finish", "checkpoint-5, checkpoint-10, checkpoint-100"]),
    "adapter partitions": (partitions("adapter"), ["DeepSpeed's partitions", "lf-registry export-adapter"]),
    "adapter partitions in a checkpoint": (
        partitions("adapter", inside="checkpoint-5"),
        ["DeepSpeed's partitions", "export-adapter", "/checkpoint-5,"],
    ),
    "model partitions": (partitions("model"), ["DeepSpeed's partitions", "zero_to_fp32"]),
    "a reward model": (
        copy_of("adapter", "", text("value_head.safetensors", b"x")),
        ["a value head", "gives scores and no text", "stage: ppo"],
    ),
    "a pickle": (holding(config_DOT_json="{}", pytorch_model_DOT_bin=b"x"), ["a pickle", "safetensors"]),
    "gguf": (holding(model_DOT_gguf=b"GGUF"), ["a GGUF file"]),
    "both": (
        lambda models, folder: copy_of("adapter")(models, copy_of("llama")(models, folder)),
        ["holds an adapter", "a folder of its own"],
    ),
    "adapter config beside a model": (
        copy_of("llama", "", text("adapter_config.json", "{}")),
        ["adapter_config.json beside a model's weights"],
    ),
    "config without weights": (copy_of("llama", "", remove("*.safetensors")), ["config.json but no weights"]),
    "anything else": (holding(main_DOT_py="", notes_DOT_md=""), ["neither an adapter", "main.py"]),
    "a merge's temporary folder": (
        lambda models, folder: copy_of("llama", ".out.merging-ab12")(models, folder) / ".out.merging-ab12",
        ["temporary folder of a merge", "/out"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_everything_else_is_refused_once_and_clearly(models, tmp_path, case):
    make, words = REFUSED[case]
    folder = make(models, tmp_path / "given") if case != "missing" else tmp_path / "nope"
    folder.parent.mkdir(exist_ok=True)
    if case == "empty":
        folder.mkdir()
    with pytest.raises(UserError) as caught:
        recognize(folder)
    assert len(caught.value.problems) == 1
    for word in [*words, str(tmp_path)]:
        assert word in str(caught.value)


def test_a_policy_of_ppo_is_published_without_its_value_head(copied):
    folder = copied("adapter")
    text("value_head.safetensors", b"x")(folder)
    assert recognize(folder, recipe(stage="ppo")).kind == "adapter"


def test_a_quantized_model_is_fine(copied):
    folder = copied("llama")
    edit("config.json", quantization_config={"quant_method": "gptq", "bits": 4})(folder)
    assert codes(folder) == []


def empty_tensors(held) -> None:
    import torch

    for name in held:
        held[name] = torch.zeros(0)


def not_gathered(folder: Path) -> None:
    tensors(empty_tensors, ADAPTER)(folder)
    text("checkpoint-5/global_step5/zero_pp_rank_0_mp_rank_00_model_states.pt", b"x")(folder)


INCOMPLETE = {
    "missing shard": ("sharded", remove("model-00002-of-*.safetensors"), "missing-shard", "not in the folder"),
    "truncated": ("llama", cut(WEIGHTS, 5000), None, WEIGHTS),
    "truncated adapter": ("adapter", cut(ADAPTER, 3000), None, ADAPTER),
    "no index": ("sharded", remove(INDEX), "missing-index", INDEX),
    "no tokenizer": ("llama", remove("tokenizer*"), "no-tokenizer", "no tokenizer"),
    "no config": ("llama", remove("config.json"), "no-config", "config.json"),
    "no adapter config": ("adapter", remove("adapter_config.json"), "no-adapter-config", "adapter_config.json"),
    "rank 0": ("adapter", edit("adapter_config.json", r=0), "bad-adapter-config", "r is 0"),
    "not gathered": ("adapter", not_gathered, "empty-tensors", "lf-registry export-adapter"),
    "half written": ("adapter", text(".adapter_model.safetensors.part", b"x"), "leftover", "interrupted"),
    "half downloaded": ("llama", text("model.safetensors.incomplete", b"x"), "leftover", "interrupted"),
    "half a config": ("llama", cut("config.json", 50), "bad-json", "truncated"),
    "its own vocabulary, no tokenizer": (
        "adapter",
        edit("adapter_config.json", modules_to_save=["embed_tokens"]),
        "no-tokenizer",
        "trains the vocabulary (embed_tokens)",
    ),
}


@pytest.mark.parametrize("case", INCOMPLETE)
def test_what_is_incomplete_is_refused(copied, case):
    name, change, code, words = INCOMPLETE[case]
    folder = copied(name)
    change(folder)
    findings, _ = complete(recognize(folder))
    assert code is None or ("error", code) in [(found.severity, found.code) for found in findings]
    with pytest.raises(UserError) as caught:
        refuse_incomplete(findings)
    assert words in str(caught.value) and str(folder) in str(caught.value)


def test_all_problems_at_once(copied):
    folder = copied("sharded")
    both(remove("model-00002-of-*", "tokenizer*"), edit("generation_config.json", eos_token_id=10**6))(folder)
    text("x.part", b"")(folder)
    with pytest.raises(UserError) as caught:
        refuse_incomplete(complete(recognize(folder))[0])
    assert len(caught.value.problems) >= 4


def test_warnings_do_not_stop(copied):
    folder = copied("llama")
    remove("chat_template.jinja")(folder)
    findings, _ = complete(recognize(folder))
    assert [(found.severity, found.code) for found in findings] == [("warning", "no-chat-template")]
    refuse_incomplete(findings)


def test_an_adapter_without_a_tokenizer_is_a_warning(models):
    assert codes(models("adapter-pattern")) == [("warning", "no-tokenizer")]


@pytest.fixture
def merged_folder(bases, merged, tmp_path):
    from merge_models import save_adapter

    base = bases("llama")
    adapter = save_adapter(base, tmp_path / "adapter")
    return merged(adapter, base=str(base))


def test_a_merged_model_is_the_one_that_was_verified(merged_folder, tmp_path):
    def found() -> list[str]:
        return [one.code for one in complete(recognize(merged_folder))[0] if one.code == "changed-after-merge"]

    assert found() == []
    path = merged_folder / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert found() == ["changed-after-merge"]
    edit("merge_report.json", tensors={"files": {"other.safetensors": {"bytes": 1, "xxh3_128": "0"}}})(merged_folder)
    assert found() == ["changed-after-merge"]
    edit("merge_report.json", tensors={"files": {WEIGHTS: {"bytes": 1, "xxh3_128": "0"}}})(merged_folder)
    assert found() == ["changed-after-merge"]


def test_a_merge_that_runs_or_was_stopped(copied):
    folder = copied("llama")
    left = folder.parent / f".{folder.name}.merging-ab12"
    left.mkdir()
    assert codes(folder) == [("warning", "merge-stopped")]
    descriptor = os.open(left, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert codes(folder) == [("error", "merge-running")]
    finally:
        os.close(descriptor)
