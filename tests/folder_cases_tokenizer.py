"""Model folders whose tokenizer or chat template is broken."""

from __future__ import annotations

import json
from pathlib import Path

from folder_changes import both, cut, edit, remove, tensors, text
from tensor_files import LFS


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


#: name -> the model, what is done to it, the code expected, words of the message, the fix or the details.
BROKEN = {
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
}
#: The same, for what is only a warning.
WARNED = {
    "token unused": ("llama", add_token("<extra>"), "vocabulary-too-large", "<extra>"),
}
