"""Tell one training's result from another's, without reading all of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

#: Files whose content decides the answers; of the weights, samples are enough to tell two trainings apart.
_PATTERNS = ("config.json", "adapter_config.json", "*.safetensors", "*.bin", "tokenizer.json", "tokenizer.model")
_SAMPLES, _SAMPLE_BYTES = 8, 65536


def fingerprint(folders: Iterable[Path], chat_template: str | None) -> str:
    """16 hexadecimal digits that change with the weights, the tokenizer or the chat template, not with the place.

    Args:
        folders: a model's, or a base's and an adapter's.
        chat_template: the source that prompts are written with.
    """
    digest = hashlib.sha256(str(chat_template).encode())
    for folder in folders:
        for path in sorted({path for pattern in _PATTERNS for path in folder.glob(pattern)}):
            digest.update(f"{path.name} {path.stat().st_size}".encode())
            digest.update(_sampled(path))
    return digest.hexdigest()[:16]


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
