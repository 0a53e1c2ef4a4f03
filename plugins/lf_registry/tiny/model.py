"""Build a tiny Llama with a Korean tokenizer that has Llama-3's special tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..chat_format import chat_format
from ..jinja import chat_template

SPECIAL_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|finetune_right_pad_id|>",
)
#: Llama-3's pre-tokenizer.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


#: Llama-3's format without a persona: what the tiny model knows before it is fine-tuned.
CHAT = chat_format(
    prefix=[{"bos_token"}],
    system=["<|start_header_id|>system<|end_header_id|>\n\n{{content}}<|eot_id|>"],
    user=[
        "<|start_header_id|>user<|end_header_id|>\n\n{{content}}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ],
    assistant=["{{content}}<|eot_id|>"],
)


def texts(value: Any) -> Iterator[str]:
    """All strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def build_tokenizer(corpus: list[str], vocabulary: int = 3000) -> Any:
    """Learn a byte-level BPE tokenizer with Llama-3's pre-tokenizer and special tokens. Deterministic.

    Args:
        corpus: the texts to learn from.
        vocabulary: number of entries, special tokens not counted.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>", model_max_length=8192
    )
    fast.chat_template = chat_template(CHAT, [])
    return fast


def load(folder: Path) -> tuple[Any, Any]:
    """Load (model, tokenizer) with plain Transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def build_model(folder: Path, corpus: list[str], *, hidden: int = 192, layers: int = 2, seed: int = 0) -> None:
    """Write a randomly initialized Llama with its tokenizer to ``folder``, like a download from the Hub.

    Args:
        folder: created when missing.
        corpus: the texts that the tokenizer learns from.
        hidden: hidden size; with the defaults the model has about 1.5 million parameters.
        layers: number of layers.
        seed: of the initialization.
    """
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = build_tokenizer(corpus)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=8192,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        dtype="float32",
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|eot_id|>")],
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def bundled_corpus(root: Path) -> list[str]:
    """The texts of the conversations in ``root/datasets`` and of the template files that go with them.

    Not of the other data: the tiny model chats in Korean, and 3,000 tokens are few enough for that.
    """
    corpus: list[str] = []
    chats = []
    for path in sorted((root / "datasets").glob("*.json")):
        rows = json.loads(path.read_text(encoding="utf-8"))
        if rows and {"messages", "instruction"} & set(rows[0]):
            chats.append(path.stem)
            corpus += texts(rows)
    for path in sorted((root / "templates").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        if path.stem in chats or "default_system" in text:
            corpus += [text] * 20
    return corpus
