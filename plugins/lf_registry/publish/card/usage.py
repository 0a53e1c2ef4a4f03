"""How a published model is spoken to: its chat template, its stop tokens, and what can load it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...fingerprint import saved_chat_template
from ..artifact import Artifact
from ..complete import has_tokenizer

#: Ranks that vLLM's ``--max-lora-rank`` takes (its ``LoRAConfig``).
_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True)
class Usage:
    """What a card has to say about using the model.

    Attributes:
        chat_template: the Jinja text that is saved with it; empty when there is none.
        stops: the tokens that end an answer, as text; the tokenizer's EOS first.
        generation_stops: whether ``generation_config.json`` names them, so that ``generate`` knows them by itself.
        tokenizer: whether the folder has one; otherwise the base model's is used, with its chat template.
        modelfile: whether there is an Ollama Modelfile.
        remote_code: loading it needs ``trust_remote_code=True``.
        resized: the tokenizer has more tokens than the base model, so its embeddings grew.
        vllm_rank: ``--max-lora-rank`` for vLLM; None when vLLM does not load this adapter.
    """

    chat_template: str
    stops: tuple[str, ...]
    generation_stops: bool
    tokenizer: bool
    modelfile: bool
    remote_code: bool
    resized: bool
    vllm_rank: int | None

    @property
    def chats(self) -> bool:
        """Whether it is spoken to in messages; of a base model's own tokenizer that is taken for granted."""
        return bool(self.chat_template) or not self.tokenizer


def usage_of(artifact: Artifact, recipe: dict[str, Any]) -> Usage:
    """Read how a folder's model is used."""
    folder = artifact.folder
    tokenizer = _read(folder / "tokenizer_config.json")
    own = artifact.kind == "model" or (has_tokenizer(folder) and bool(tokenizer))
    config = artifact.facts.get("config") or _read(folder / "config.json")
    return Usage(
        saved_chat_template(folder) if own else "",
        _stops(folder, tokenizer) if own else (),
        artifact.kind == "model" and _read(folder / "generation_config.json").get("eos_token_id") is not None,
        own,
        (folder / "Modelfile").is_file(),
        bool(config.get("auto_map") or recipe.get("trust_remote_code")),
        any(
            recipe.get(key) for key in ("resize_vocab", "add_tokens", "add_special_tokens", "new_special_tokens_config")
        ),
        _vllm_rank(artifact),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _stops(folder: Path, tokenizer: dict[str, Any]) -> tuple[str, ...]:
    """The tokenizer's EOS first, then what the generation config and the Modelfile add."""
    eos = tokenizer.get("eos_token")
    stops = [eos.get("content") if isinstance(eos, dict) else eos]
    ids = _read(folder / "generation_config.json").get("eos_token_id")
    if ids is not None:
        added = {entry["id"]: entry["content"] for entry in _read(folder / "tokenizer.json").get("added_tokens", [])}
        stops += [added.get(number) for number in (ids if isinstance(ids, list) else [ids])]
    if (folder / "Modelfile").is_file():
        text = (folder / "Modelfile").read_text(encoding="utf-8", errors="replace")
        stops += re.findall(r'^PARAMETER stop "(.+)"\s*$', text, re.MULTILINE)
    return tuple(dict.fromkeys(stop for stop in stops if isinstance(stop, str) and stop))


def _vllm_rank(artifact: Artifact) -> int | None:
    """The smallest rank that vLLM takes for this adapter.

    None for what it refuses: DoRA, trained biases, other trained modules, no LoRA at all.
    """
    adapter = artifact.facts.get("adapter_config") or _read(artifact.folder / "adapter_config.json")
    refused = adapter.get("use_dora") or adapter.get("modules_to_save") or adapter.get("bias", "none") != "none"
    ranks = [adapter.get("r"), *(adapter.get("rank_pattern") or {}).values()]
    whole = [rank for rank in ranks if isinstance(rank, int)]
    if artifact.peft_type != "LORA" or refused or not whole:
        return None
    return next((rank for rank in _VLLM_RANKS if rank >= max(whole)), None)
