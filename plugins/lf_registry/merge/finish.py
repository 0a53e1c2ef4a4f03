"""All of a model folder but its weights: config, generation config, tokenizer, chat template, Modelfile, index."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import is_file, json_text
from .checkpoint import INDEX, SINGLE, Base, read_json
from .plan import Plan
from .tied import is_vocabulary

TOKENIZER = "tokenizer_config.json"
#: A tokenizer's files, by Transformers' names.
_TOKENIZER_FILES = (
    TOKENIZER,
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates",
)
#: What a multimodal base has besides, and the code of a base that is not in Transformers.
_BASE_FILES = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "*.py",
    "*.tiktoken",
)


def write_config(base: Base, changes: Mapping[str, object], folder: Path) -> None:
    """Write ``config.json``: the base's, with what the merge changed, in the part of it where the key stands."""
    config = copy.deepcopy(base.config)
    config.pop("_name_or_path", None)
    nested = config.get("text_config")
    for key, value in changes.items():
        inside = isinstance(nested, dict) and key in nested
        if inside:
            nested[key] = value
        if not inside or key in config or key == "tie_word_embeddings":
            config[key] = value
    _write(folder / "config.json", json_text(config))


def write_index(plan: Plan, folder: Path) -> None:
    """Write the index of several weight files; one file called model.safetensors needs none."""
    if [shard.file for shard in plan.shards] == [SINGLE]:
        return
    size = sum(tensor.size for tensor in plan.tensors)
    metadata = {"total_parameters": sum(prod(tensor.shape) for tensor in plan.tensors), "total_size": size}
    weight_map = {tensor.name: shard.file for shard in plan.shards for tensor in shard.tensors}
    _write(folder / INDEX, json_text({"metadata": metadata, "weight_map": dict(sorted(weight_map.items()))}))


def tokenizer_folder(adapters: Sequence[Path], base: Path) -> Path | None:
    """Where the tokenizer as trained is: with the last adapter, in the folder above its checkpoint, or the base."""
    places = [place for adapter in reversed(adapters) for place in (adapter, adapter.parent)]
    trained = [place for place in places if is_file(place / TOKENIZER) and _is_training(place)]
    return next(iter([*trained, *([base] if is_file(base / TOKENIZER) else [])]), None)


def _is_training(folder: Path) -> bool:
    return any(is_file(folder / name) for name in ("adapter_config.json", "trainer_state.json", "all_results.json"))


def write_tokenizer(
    source: Path | None,
    base: Base,
    folder: Path,
    template: str | None,
    settings: Mapping[str, Any],
    *,
    trust: bool = False,
) -> list[int]:
    """Write tokenizer and chat template, and with a template's name the Modelfile.

    Returns:
        The ids of the tokens that end an answer, as far as they are known.

    Raises:
        UserError: there is no such template, or no tokenizer that it needs.
    """
    for pattern in _BASE_FILES:
        for path in sorted(base.folder.glob(pattern)):
            shutil.copyfile(path, folder / path.name)
    if template is not None:
        from .template import write_with_template

        return write_with_template(source, folder, template, settings, trust=trust)
    if source is None:
        return []
    for name in _TOKENIZER_FILES:
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name)
        elif is_file(source / name):
            shutil.copyfile(source / name, folder / name)
    return _eos_ids(folder)


def _eos_ids(folder: Path) -> list[int]:
    """The id of the tokenizer's EOS token, from its files alone."""
    eos = read_json(folder / TOKENIZER).get("eos_token")
    text = eos.get("content") if isinstance(eos, dict) else eos
    if not isinstance(text, str) or not is_file(folder / "tokenizer.json"):
        return []
    tokenizer = read_json(folder / "tokenizer.json")
    added = {entry["content"]: entry["id"] for entry in tokenizer.get("added_tokens", [])}
    vocabulary = tokenizer.get("model", {}).get("vocab", {})
    found = added.get(text, vocabulary.get(text) if isinstance(vocabulary, dict) else None)
    return [found] if isinstance(found, int) else []


def check_stops(stops: Sequence[int], plan: Plan, template: str | None) -> None:
    """Check that the model has a row for every token that ends an answer.

    Raises:
        UserError: it has not, so that it could never end one; the template is another model's.
    """
    rows = [tensor.shape[0] for tensor in plan.tensors if is_vocabulary(tensor.name)]
    beyond = [stop for stop in stops if rows and stop >= min(rows)]
    if beyond:
        what = f"template: {template}: " if template else "the tokenizer: "
        raise UserError(
            f"{what}answers end with the token ids {', '.join(map(str, beyond))}, and the model has only "
            f"{min(rows):,} tokens: it was not trained with them",
            hint="name the template of the training; tokens that were added there need resize_vocab: true",
        )


def write_generation_config(base: Base, stops: Sequence[int], folder: Path) -> None:
    """Write ``generation_config.json``: the base's, and every token that ends an answer among its ``eos_token_id``."""
    path = base.folder / "generation_config.json"
    exists = is_file(path)
    config = read_json(path) if exists else {}
    known = config.get("eos_token_id", base.config.get("eos_token_id"))
    ids = [known] if isinstance(known, int) else list(known or [])
    wanted = ids + [stop for stop in stops if stop not in ids]
    if not exists and wanted == ids:
        return
    if not exists:
        config = {
            key: base.config[key] for key in ("bos_token_id", "pad_token_id") if isinstance(base.config.get(key), int)
        }
    if wanted:
        config["eos_token_id"] = wanted if len(wanted) > 1 else wanted[0]
    _write(folder / "generation_config.json", json_text(config))


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write ``merge_report.json``, which the upload reads."""
    _write(folder / "merge_report.json", json.dumps(report, ensure_ascii=False, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
