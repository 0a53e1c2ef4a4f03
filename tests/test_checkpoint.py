from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest

from lf_registry.check.checkpoint import check_model_folder

CORPUS = ["아이언맨은 수트를 입는다. 자비스가 대답한다.", "피터는 숙제를 하러 집에 갔다."] * 20
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 123456\n"
SHARD = "model-00002-of-00003.safetensors"


def configs(vocabulary: int):
    import transformers as hf

    sizes = SIZES | {"vocab_size": vocabulary, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8}
    gpt2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
    return {
        "llama": hf.LlamaConfig(**sizes),
        "llama-tied": hf.LlamaConfig(**sizes, tie_word_embeddings=True),
        "qwen2": hf.Qwen2Config(**sizes),
        "gemma2": hf.Gemma2Config(**sizes, head_dim=8),
        "mistral": hf.MistralConfig(**sizes),
        "gpt2": hf.GPT2Config(vocab_size=vocabulary, **gpt2),
        "qwen3-moe": hf.Qwen3MoeConfig(**sizes, **experts),
        "qwen2-vl": hf.Qwen2VLConfig(
            text_config=sizes | {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}},
            vision_config={"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 4},
        ),
        "mixtral": hf.MixtralConfig(**sizes, num_local_experts=4),
    }


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Every family, as Transformers saves it; ``sharded`` is a Llama in three or more shards."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    from lf_registry.tiny.model import build_tokenizer

    root = tmp_path_factory.mktemp("models")
    tokenizer = build_tokenizer(CORPUS, 300)
    torch.manual_seed(0)
    for name, config in configs(len(tokenizer)).items():
        auto = AutoModelForImageTextToText if name == "qwen2-vl" else AutoModelForCausalLM
        model = auto.from_config(config, dtype=torch.bfloat16)
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
        if name == "llama":
            model.save_pretrained(root / "sharded", max_shard_size="30KB")
            tokenizer.save_pretrained(root / "sharded")
    return root


@pytest.fixture(scope="session")
def adapters(built):
    from peft import LoraConfig, PrefixTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    def save(name: str, base: str, config) -> None:
        get_peft_model(AutoModelForCausalLM.from_pretrained(built / base), config).save_pretrained(built / name)

    lora = {"r": 4, "task_type": "CAUSAL_LM"}
    save("adapter", "llama", LoraConfig(**lora, target_modules=["q_proj", "v_proj", "embed_tokens"]))
    pattern = {r"layers\.1\.self_attn\.q_proj": 2}
    save("adapter-pattern", "llama", LoraConfig(**lora, target_modules="all-linear", rank_pattern=pattern))
    save(
        "adapter-gpt2",
        "gpt2",
        LoraConfig(**lora, target_modules=["c_attn"], modules_to_save=["lm_head"], use_dora=True),
    )
    save("adapter-prefix", "llama", PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"))
    return built


def checked(folder: Path, **options):
    findings, notes = check_model_folder(folder, **options)
    for found in findings:
        assert found.code and found.where and found.message and found.fix
        assert len(found.details) <= 9
    return findings, notes


@pytest.mark.parametrize(
    "name", ["llama", "llama-tied", "qwen2", "gemma2", "mistral", "gpt2", "qwen3-moe", "mixtral", "qwen2-vl", "sharded"]
)
def test_what_transformers_saves_is_clean(built, name):
    assert checked(built / name) == ([], [])


@pytest.mark.parametrize("name", ["adapter", "adapter-pattern", "adapter-gpt2", "adapter-prefix"])
def test_what_peft_saves_is_clean(adapters, name):
    findings, notes = checked(adapters / name)
    assert findings == []
    assert bool(notes) == (name == "adapter-prefix")


# What breaks a folder. Each function gets a fresh copy.


def edit(name: str, **changes):
    """Change keys of a JSON file; None removes one."""

    def change(folder: Path) -> None:
        path = folder / name
        values = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        values |= changes
        text = json.dumps({key: value for key, value in values.items() if value is not None}, ensure_ascii=False)
        path.write_text(text, "utf-8")

    return change


def text(name: str, content: str | bytes):
    def change(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def remove(*patterns: str):
    def change(folder: Path) -> None:
        for pattern in patterns:
            for path in list(folder.glob(pattern)):
                path.unlink()

    return change


def cut(name: str, amount: int):
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:amount])

    return change


def tensors(edit_them, name: str = "model.safetensors"):
    """Rewrite a weight file after ``edit_them(dictionary)``."""

    def change(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        held = load_file(folder / name)
        edit_them(held)
        save_file(held, folder / name, {"format": "pt"})

    return change


def drop(*ends: str):
    def edit_them(held) -> None:
        for name in [name for name in held if name.endswith(ends)]:
            del held[name]

    return edit_them


def shape(end: str, *sizes: int):
    def edit_them(held) -> None:
        import torch

        for name in [name for name in held if name.endswith(end)]:
            held[name] = torch.zeros(sizes, dtype=held[name].dtype)

    return edit_them


def put(name: str, *sizes: int):
    def edit_them(held) -> None:
        import torch

        held[name] = torch.zeros(sizes, dtype=torch.bfloat16)

    return edit_them


def norms_float32(held) -> None:
    for name in [name for name in held if "norm" in name]:
        held[name] = held[name].float()


def half_float32(held) -> None:
    for name in [name for name in held if "layers.0" in name]:
        held[name] = held[name].float()


def index(change_map=None, **metadata):
    def change(folder: Path) -> None:
        path = folder / "model.safetensors.index.json"
        values = json.loads(path.read_text())
        if change_map:
            change_map(values["weight_map"])
        values["metadata"] |= metadata
        path.write_text(json.dumps(values))

    return change


def forget_norm(weight_map) -> None:
    del weight_map["model.norm.weight"]


def swap_norm(weight_map) -> None:
    weight_map["model.norm.weight"] = next(v for v in weight_map.values() if v != weight_map["model.norm.weight"])


def repeat_norm(folder: Path) -> None:
    weight_map = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    other = next(v for v in weight_map.values() if v != weight_map["model.norm.weight"])
    tensors(put("model.norm.weight", 32), other)(folder)


def copy_shard(folder: Path) -> None:
    shutil.copy(folder / first_shard(folder), folder / "model-00001-of-00099.safetensors")


def first_shard(folder: Path) -> str:
    return min(path.name for path in folder.glob("model-*.safetensors"))


def at_first_shard(make, *arguments):
    def change(folder: Path) -> None:
        make(first_shard(folder), *arguments)(folder)

    return change


def partitions(folder: Path) -> None:
    remove("*.safetensors")(folder)
    text("global_step10/zero_pp_rank_0_mp_rank_00_model_states.pt", b"x")(folder)
    text("global_step10/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", b"x")(folder)
    text("zero_to_fp32.py", "")(folder)


def both(*changes):
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


def small_embedding(folder: Path) -> None:
    """A model that has fewer rows than the tokenizer has ids, and is consistent with itself."""
    import torch

    def fewer(held) -> None:
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            held[name] = torch.zeros(100, 32, dtype=torch.bfloat16)

    tensors(fewer)(folder)
    edit("config.json", vocab_size=100)(folder)


def no_special_tokens(folder: Path) -> None:
    """Leave nothing that is certain to use a special token."""
    remove("chat_template.jinja")(folder)
    edit("tokenizer_config.json", bos_token=None, eos_token=None, pad_token=None, unk_token=None)(folder)


def eos_just_outside(folder: Path) -> None:
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    edit("generation_config.json", eos_token_id=size)(folder)


def add_token(content: str, used: bool = False):
    """Give the tokenizer one token more than the embedding has rows."""

    def change(folder: Path) -> None:
        path = folder / "tokenizer.json"
        values = json.loads(path.read_text("utf-8"))
        number = max(entry["id"] for entry in values["added_tokens"]) + 1
        values["added_tokens"].append(values["added_tokens"][0] | {"id": number, "content": content})
        path.write_text(json.dumps(values, ensure_ascii=False), "utf-8")
        if used:
            edit("tokenizer_config.json", pad_token=content)(folder)

    return change


WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
REMOTE = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}
#: name -> the model, what is done to it, the one code expected, words of the message, the fix or the details.
BROKEN = {
    "no config": ("llama", remove("config.json"), "no-config", "config.json"),
    "config cut": ("llama", cut("config.json", 60), "bad-json", "not JSON: line"),
    "config empty": ("llama", text("config.json", ""), "empty-file", "0 bytes"),
    "config a list": ("llama", text("config.json", "[]"), "bad-json", "list"),
    "config cp949": ("llama", text("config.json", '{"a": "가"}'.encode("cp949")), "bad-json", "not UTF-8"),
    "no model type": ("llama", edit("config.json", model_type=None), "no-model-type", '"model_type": "llama"'),
    "wrong model type": ("llama", edit("config.json", model_type="lama"), "unknown-model-type", "did you mean 'llama'"),
    "config refused": ("llama", edit("config.json", hidden_size="many"), "bad-config", "hidden_size"),
    "model impossible": ("llama", edit("config.json", num_attention_heads=5), "bad-config", "attention heads (5)"),
    "code missing": ("llama", edit("config.json", auto_map=REMOTE), "missing-code", "modeling_own.py"),
    "eos out of range": (
        "llama",
        edit("generation_config.json", eos_token_id=[1, 99999]),
        "token-id-out-of-range",
        "99999",
    ),
    "eos just outside": ("llama", eos_just_outside, "token-id-out-of-range", "eos_token_id"),
    "generation cut": ("llama", cut("generation_config.json", 20), "bad-json", "truncated"),
    "special tokens": ("llama", text("special_tokens_map.json", "{,}"), "bad-json", "line 1, column 2"),
    "added tokens": ("llama", text("added_tokens.json", "no"), "bad-json", "not JSON"),
    "no tokenizer": ("llama", remove("tokenizer*"), "no-tokenizer", "copy it from the base model"),
    "no merges": (
        "llama",
        both(remove("tokenizer.json"), text("vocab.json", '{"a": 0}')),
        "no-tokenizer",
        "merges.txt",
    ),
    "tokenizer cut": ("llama", cut("tokenizer.json", 3000), "bad-json", "not JSON"),
    "tokenizer LFS": ("llama", text("tokenizer.json", LFS), "lfs-pointer", "git lfs pull"),
    "tokenizer foreign": ("llama", text("tokenizer.json", '{"version": "1.0"}'), "bad-tokenizer", "cannot load it"),
    "tokenizer model LFS": ("llama", text("tokenizer.model", LFS), "lfs-pointer", "hf download"),
    "tokenizer config": ("llama", cut("tokenizer_config.json", 30), "bad-json", "not JSON"),
    "tokenizer too large": ("llama", small_embedding, "vocabulary-too-large", "resize_vocab: true"),
    "tokenizer too large, nothing special": (
        "llama",
        both(small_embedding, no_special_tokens),
        "vocabulary-too-large",
        "index out of range",
    ),
    "image model": ("qwen2-vl", add_token("<extra>", used=True), "vocabulary-too-large", "index out of range"),
    "token used": ("llama", add_token("<extra>", used=True), "vocabulary-too-large", "index out of range"),
    "template": ("llama", text("chat_template.jinja", "a\n{% if x %}b"), "bad-chat-template", "line 2"),
    "template in config": (
        "llama",
        edit("tokenizer_config.json", chat_template="{{ x"),
        "bad-chat-template",
        "does not parse",
    ),
    "template not UTF-8": ("llama", text("chat_template.jinja", "가".encode("cp949")), "bad-chat-template", "UTF-8"),
    "no weights": ("llama", remove("*.safetensors"), "no-weights", "hf download MODEL_ID"),
    "weights empty": ("llama", text(WEIGHTS, ""), "empty-file", "0 bytes"),
    "weights LFS": ("llama", text(WEIGHTS, LFS), "lfs-pointer", "git lfs pull"),
    "weights cut": ("llama", cut(WEIGHTS, -100), "truncated-shard", "100 of"),
    "header cut": ("llama", cut(WEIGHTS, 200), "truncated-shard", "inside the header"),
    "weights foreign": ("llama", text(WEIGHTS, struct.pack("<Q", 2) + b"[]"), "bad-header", "does not begin with {"),
    "partitions": ("llama", partitions, "only-deepspeed-partitions", "zero_to_fp32.py"),
    "pickle LFS": (
        "llama",
        both(remove("*.safetensors"), text("pytorch_model.bin", LFS)),
        ["lfs-pointer", "pickle-weights"],
        "git lfs pull",
    ),
    "pickle shard": (
        "llama",
        both(
            remove("*.safetensors"),
            text("pytorch_model.bin.index.json", '{"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}'),
        ),
        ["missing-shard", "pickle-weights"],
        "pytorch_model-00001-of-00001.bin",
    ),
    "missing shard": ("sharded", at_first_shard(remove), "missing-shard", "model-00001-of"),
    "truncated shard": ("sharded", at_first_shard(cut, -5), "truncated-shard", "5 of"),
    "shard LFS": ("sharded", at_first_shard(text, LFS), "lfs-pointer", "git lfs pull"),
    "no index": ("sharded", remove(INDEX), "missing-index", INDEX),
    "index cut": ("sharded", cut(INDEX, 300), "bad-json", "not JSON"),
    "index without map": ("sharded", edit(INDEX, weight_map=None), "bad-index", "weight_map"),
    "index without metadata": ("sharded", edit(INDEX, metadata=None), "bad-index", '"metadata": {}'),
    "key elsewhere": ("sharded", index(swap_norm), "key-not-in-shard", "model.norm.weight"),
    "key twice": ("sharded", repeat_norm, "duplicate-key", "model.norm.weight"),
    "key missing": (
        "llama",
        tensors(drop("layers.1.mlp.up_proj.weight")),
        "missing-key",
        "layers.1.mlp.up_proj.weight",
    ),
    "head missing": ("llama", tensors(drop("lm_head.weight")), "missing-key", "lm_head.weight"),
    "embedding missing": ("llama-tied", tensors(drop("embed_tokens.weight")), "missing-key", "embed_tokens.weight"),
    "shape": ("llama", tensors(shape("layers.0.mlp.up_proj.weight", 47, 32)), "wrong-shape", "[47, 32] in the file"),
    "tied shape": ("llama-tied", tensors(put("lm_head.weight", 9, 32)), "wrong-shape", "lm_head.weight: [9, 32]"),
    "vocabulary of config": ("llama", edit("config.json", vocab_size=9000), "wrong-shape", "[9000, 32] in the model"),
    "too few layers": ("llama", edit("config.json", num_hidden_layers=3), "missing-key", "model.layers.2."),
    "no values": ("llama", tensors(shape("q_proj.weight", 0)), "empty-tensors", "stage3_gather_16bit"),
    "no tensors": ("llama", tensors(dict.clear), "no-tensors", "stage3_gather_16bit"),
    "expert missing": (
        "qwen3-moe",
        tensors(drop("1.mlp.experts.2.up_proj.weight")),
        "missing-key",
        "layers.1.mlp.experts.2.up",
    ),
    "experts missing": (
        "mixtral",
        tensors(drop("experts.3.w1.weight")),
        "missing-key",
        "layers.1.block_sparse_moe.experts.3.w1",
    ),
    "expert shape": (
        "mixtral",
        tensors(shape("0.block_sparse_moe.experts.1.w2.weight", 3, 5)),
        "wrong-shape",
        "experts.1.w2",
    ),
    "no adapter config": ("adapter", remove("adapter_config.json"), "no-adapter-config", "PEFT"),
    "adapter config cut": ("adapter", cut("adapter_config.json", 40), "bad-json", "not JSON"),
    "method": ("adapter", edit("adapter_config.json", peft_type="LORRA"), "unknown-peft-type", "did you mean 'LORA'"),
    "rank zero": ("adapter", edit("adapter_config.json", r=0), "bad-adapter-config", "whole number above 0"),
    "rank": ("adapter", edit("adapter_config.json", r=8), "wrong-rank", "rank 4 in the file, 8"),
    "rank pattern": (
        "adapter-pattern",
        edit("adapter_config.json", rank_pattern={}),
        "wrong-rank",
        "rank 2 in the file, 4",
    ),
    "adapter lost": ("adapter", remove("*.safetensors"), "no-weights", "adapter_model.safetensors"),
    "adapter empty": ("adapter", tensors(dict.clear, "adapter_model.safetensors"), "no-tensors", "40 bytes"),
    "adapter no values": (
        "adapter",
        tensors(shape("lora_B.weight", 0), "adapter_model.safetensors"),
        "empty-tensors",
        "stage3_gather_16bit",
    ),
    "adapter cut": ("adapter", cut("adapter_model.safetensors", -9), "truncated-shard", "9 of"),
    "adapter LFS": ("adapter", text("adapter_model.safetensors", LFS), "lfs-pointer", "git lfs pull"),
    "lora alone": (
        "adapter",
        tensors(drop("layers.0.self_attn.q_proj.lora_B.weight"), "adapter_model.safetensors"),
        "lora-without-pair",
        "layers.0.self_attn.q_proj: lora_A alone",
    ),
    "lora unequal": (
        "adapter",
        tensors(shape("layers.0.self_attn.q_proj.lora_B.weight", 32, 3), "adapter_model.safetensors"),
        "lora-rank-mismatch",
        "lora_B [32, 3]",
    ),
    "adapter partitions": (
        "adapter",
        both(remove("*.safetensors"), text("global_step5/zero_pp_rank_0_mp_rank_00_model_states.pt", b"x")),
        "only-deepspeed-partitions",
        "zero_to_fp32.py",
    ),
}
#: The same, for what is only a warning.
WARNED = {
    "no architectures": ("llama", edit("config.json", architectures=None), "no-architectures", "vLLM"),
    "token unused": ("llama", add_token("<extra>"), "vocabulary-too-large", "<extra>"),
    "two sets": ("llama", text("model-00001-of-00002.safetensors", b"x"), "two-sets-of-weights", "ignores"),
    "pickle": (
        "llama",
        both(remove("*.safetensors"), text("pytorch_model.bin", b"x")),
        "pickle-weights",
        "can run code",
    ),
    "total size": ("sharded", index(total_size=5), "wrong-total-size", "total_size is 5"),
    "stray shard": ("sharded", copy_shard, "stray-shard", "model-00001-of-00099.safetensors"),
    "not in the index": ("sharded", index(forget_norm), "unindexed-key", "model.norm.weight"),
    "unexpected": ("llama", tensors(put("model.extra.weight", 3)), "unexpected-key", "model.extra.weight"),
    "dtypes": ("llama", tensors(half_float32), "mixed-dtypes", "F32"),
    "partial": ("llama", text("x.safetensors.incomplete", "x"), "partial-download", "x.safetensors.incomplete"),
    "partial hf": ("llama", text(".cache/huggingface/download/a.incomplete", "x"), "partial-download", "a.incomplete"),
    "no base": ("adapter", edit("adapter_config.json", base_model_name_or_path=None), "no-base-model", "Hub id"),
    "base moved": ("adapter", edit("adapter_config.json", base_model_name_or_path="/no/x"), "no-base-model", "/no/x"),
    "adapter pickle": (
        "adapter",
        both(remove("*.safetensors"), text("adapter_model.bin", b"x")),
        "pickle-weights",
        "can run code",
    ),
    "both kinds": ("adapter", text(WEIGHTS, "x"), "adapter-in-model-folder", "ignores"),
}


@pytest.mark.parametrize(("name", "severity"), [(n, "error") for n in BROKEN] + [(n, "warning") for n in WARNED])
def test_broken_folder(adapters, tmp_path, name, severity):
    base, change, codes, words = (BROKEN | WARNED)[name]
    folder = tmp_path / "model"
    shutil.copytree(adapters / base, folder)
    change(folder)
    findings, _ = checked(folder, adapter=base.startswith("adapter"))
    assert [found.code for found in findings] == ([codes] if isinstance(codes, str) else codes)
    assert findings[0].severity == severity
    assert str(folder) in findings[0].where
    assert words in "\n".join([findings[0].where, findings[0].message, findings[0].fix, *findings[0].details])


@pytest.mark.parametrize(
    ("base", "change", "note"),
    [
        ("llama", remove("chat_template.jinja"), None),
        ("llama", edit("config.json", vocab_size=None, auto_map=REMOTE), "not run"),
        ("llama", edit("config.json", auto_map={"AutoConfig": "someone/else--configuration_own.C"}), "someone/else"),
        (
            "llama",
            edit("config.json", quantization_config={"quant_method": "gptq", "bits": 4}),
            "other names and shapes",
        ),
        ("llama-tied", tensors(put("lm_head.weight", 307, 32)), None),
        ("llama", tensors(put("model.layers.0.self_attn.rotary_emb.inv_freq", 4)), None),
        ("llama", text("pytorch_model.bin", b"x"), None),
        ("llama", tensors(norms_float32), None),
        ("adapter", edit("adapter_config.json", target_parameters=["mlp.experts.down_proj"]), "target_parameters"),
        ("adapter", edit("adapter_config.json", base_model_name_or_path="meta/llama"), None),
    ],
    ids=[
        "no template",
        "own code",
        "code elsewhere",
        "gptq",
        "tied twice",
        "old buffer",
        "pickle beside",
        "float32 norms",
        "target",
        "hub",
    ],
)
def test_no_false_alarm(adapters, tmp_path, base, change, note):
    folder = tmp_path / "model"
    shutil.copytree(adapters / base, folder)
    for name in ("configuration_own.py", "modeling_own.py"):
        text(name, "raise SystemExit('must not be run')")(folder)
    change(folder)
    findings, notes = checked(folder)
    assert findings == []
    assert (note is None and notes == []) or any(note in sentence for sentence in notes)


def test_a_wider_embedding_than_the_vocabulary_is_fine(adapters, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(adapters / "llama")
    model.resize_token_embeddings(pad_to_multiple_of=128)
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    for path in adapters.glob("llama/*token*"):
        shutil.copy(path, tmp_path)
    assert checked(tmp_path) == ([], [])


def test_hundreds_of_missing_keys_are_one_finding(adapters, tmp_path):
    shutil.copytree(adapters / "llama", tmp_path / "model")
    edit("config.json", num_hidden_layers=40)(tmp_path / "model")
    findings, _ = checked(tmp_path / "model")
    assert [(found.code, found.count) for found in findings] == [("missing-key", 38 * 9)]
    assert findings[0].details[-1] == f"... and {38 * 9 - 8} more"


def test_all_problems_at_once(adapters, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(adapters / "mixtral", folder)
    edit("config.json", architectures=None)(folder)
    cut("generation_config.json", 5)(folder)
    text("chat_template.jinja", "{{")(folder)
    tensors(drop("experts.3.w1.weight", "model.norm.weight"))(folder)
    tensors(shape("layers.1.input_layernorm.weight", 7))(folder)
    tensors(put("extra", 1))(folder)
    findings, _ = checked(folder)
    assert [found.severity for found in findings] == ["error"] * 4 + ["warning"] * 2
    assert {found.code: found.count for found in findings} == {
        "bad-json": 1,
        "bad-chat-template": 1,
        "missing-key": 3,
        "wrong-shape": 1,
        "no-architectures": 1,
        "unexpected-key": 1,
    }


def test_no_such_folder(tmp_path):
    findings, _ = checked(tmp_path / "none")
    assert [found.code for found in findings] == ["no-such-folder"]


def test_the_weights_are_not_read(adapters, tmp_path):
    """A file with a hole instead of values: a million gigabytes could not be read."""
    folder = tmp_path / "model"
    shutil.copytree(adapters / "llama", folder)
    size = 1 << 40
    header = json.dumps({"big": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with (folder / WEIGHTS).open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + size)
    findings, _ = checked(folder)
    assert [found.code for found in findings] == ["missing-key", "unexpected-key"]


def test_transformers_says_nothing_and_stays_as_loud_as_it_was(adapters, tmp_path):
    import logging

    from transformers.utils import logging as its_logging

    records = []
    handler = logging.Handler()
    handler.emit = records.append
    shutil.copytree(adapters / "llama", tmp_path / "model")
    edit("config.json", num_hidden_layers=5)(tmp_path / "model")
    before = its_logging.get_verbosity()
    its_logging.set_verbosity_info()
    logging.getLogger("transformers").addHandler(handler)
    try:
        checked(tmp_path / "model")
        assert its_logging.get_verbosity() == logging.INFO
        assert its_logging.is_progress_bar_enabled()
    finally:
        logging.getLogger("transformers").removeHandler(handler)
        its_logging.set_verbosity(before)
    assert [record.getMessage() for record in records if record.levelno >= logging.WARNING] == []
