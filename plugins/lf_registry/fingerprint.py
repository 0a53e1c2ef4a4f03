"""Tell one training's result from another's, without reading all of its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: Files whose content decides the answers; of the weights, samples are enough to tell two trainings apart.
_PATTERNS = ("config.json", "adapter_config.json", "*.safetensors", "*.bin", "tokenizer.json", "tokenizer.model")
#: What a training leaves beside its weights, and what may be deleted before they are published.
_STATE = ("training_args.bin", "optimizer.bin", "scheduler.bin")
_SAMPLES, _SAMPLE_BYTES = 8, 65536
#: An adapter's files, and a whole model's: the config first, then the weights.
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
_MODEL = ("config.json", "model*.safetensors", "pytorch_model*.bin")
#: Keys of a config that say where something is or who wrote it, and not what it answers.
_PLACES = ("base_model_name_or_path", "revision", "_name_or_path", "transformers_version", "peft_version")


def fingerprint(folders: Iterable[Path], chat_template: str | None) -> str:
    """16 hexadecimal digits that change with the weights, the tokenizer or the chat template, not with the place.

    Args:
        folders: a model's, or a base's and an adapter's.
        chat_template: the source that prompts are written with.
    """
    digest = hashlib.sha256(str(chat_template).encode())
    for folder in folders:
        for path in sorted({path for pattern in _PATTERNS for path in folder.glob(pattern)}):
            if path.name in _STATE:
                continue
            digest.update(f"{path.name} {path.stat().st_size}".encode())
            digest.update(_sampled(path))
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Identity:
    """Which model a folder holds: by what is in it, so that a copy in another place is the same.

    Attributes:
        weights: of the adapter, or of the whole model; None when there are none.
        merged_from: of the one adapter that was merged into this model, as ``merge_report.json`` has it, and only while
            the weights are those that the merge wrote; else None.
        chat_template: of the one that is saved in the folder; None when there is none.
    """

    weights: str | None
    merged_from: str | None = None
    chat_template: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """What ``identity_from`` reads."""
        return asdict(self)

    def same_weights(self, other: Identity) -> bool:
        """Whether both hold the same training's result; an adapter and the model merged from it do."""
        if self.weights is None or other.weights is None:
            return False
        return self.weights in (other.weights, other.merged_from) or self.merged_from == other.weights

    def same_template(self, other: Identity) -> bool:
        """Whether no two different chat templates are saved with them."""
        return None in (self.chat_template, other.chat_template) or self.chat_template == other.chat_template


def identity_of(folder: Path) -> Identity:
    """The identity of an adapter's or a model's folder."""
    template = saved_chat_template(folder)
    weights = weights_fingerprint(folder)
    report = _read(folder / "merge_report.json")
    adapters = report.get("adapter_fingerprints")
    unchanged = weights is not None and report.get("fingerprint") == weights
    one = adapters[0] if unchanged and isinstance(adapters, list) and len(adapters) == 1 else None
    return Identity(weights, one if isinstance(one, str) else None, _digits(template) if template else None)


def identity_from(value: object) -> Identity | None:
    """The identity that was written as JSON; None when it is none."""
    if not isinstance(value, dict) or not isinstance(value.get("weights"), str):
        return None
    texts = {key: text for key in ("merged_from", "chat_template") if isinstance(text := value.get(key), str)}
    return Identity(value["weights"], **texts)


def weights_fingerprint(folder: Path) -> str | None:
    """16 hexadecimal digits of an adapter's or a model's weights and config; None when the folder has no weights.

    What else a training leaves in its folder does not count, nor does where the base was.
    """
    patterns = _ADAPTER if (folder / _ADAPTER[0]).is_file() else _MODEL
    paths = sorted({path for pattern in patterns[1:] for path in folder.glob(pattern) if path.is_file()})
    if not paths:
        return None
    config = {key: value for key, value in _read(folder / patterns[0]).items() if key not in _PLACES}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for path in paths:
        digest.update(f"{path.name} {path.stat().st_size}".encode())
        digest.update(_sampled(path))
    return digest.hexdigest()[:16]


def saved_chat_template(folder: Path) -> str:
    """The Jinja text that is saved with a model, where Transformers looks for it; empty when there is none."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    for name in ("tokenizer_config.json", "chat_template.json"):
        value = _read(folder / name).get("chat_template")
        named = value if isinstance(value, list) else [{"name": "default", "template": value}]
        for item in named:
            if isinstance(item, dict) and item.get("name") == "default" and isinstance(item.get("template"), str):
                return item["template"]
    return ""


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _sampled(path: Path) -> bytes:
    """Parts of a file, spread evenly over it; all of a small one."""
    size = path.stat().st_size
    if size <= _SAMPLES * _SAMPLE_BYTES:
        return path.read_bytes()
    parts = []
    with path.open("rb") as stream:
        for i in range(_SAMPLES):
            stream.seek((size - _SAMPLE_BYTES) * i // (_SAMPLES - 1))
            parts.append(stream.read(_SAMPLE_BYTES))
    return b"".join(parts)
