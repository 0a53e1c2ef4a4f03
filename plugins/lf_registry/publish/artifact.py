"""What is published: a folder as it was recognized, and the files that go up. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

#: A PEFT adapter; a merged or full model. A training output is one of the two, with checkpoints.
Kind = Literal["adapter", "model"]


@dataclass(frozen=True)
class Upload:
    """One file of the repository.

    Attributes:
        remote: its path there.
        size: bytes.
        local: the file that goes up or that ``content`` was made from; None when it was made of several, or of none.
        content: the bytes that go up instead of the local file: generated, or with local paths replaced.
        modified: of a local file that goes up as it is, when it was last written (nanoseconds), as ``collect`` saw it:
            what was changed after the search for secrets must not go up.
    """

    remote: str
    size: int
    local: Path | None = None
    content: bytes | None = None
    modified: int | None = None


@dataclass(frozen=True)
class Artifact:
    """A folder that can be published.

    Attributes:
        folder: the folder.
        kind: what its weights are.
        weights: its weight files.
        peft_type: of an adapter: ``LORA``, ``PREFIX_TUNING``, ...; None for a model.
        base_model: what the files say that it was trained on: a Hub id or a local folder; None when they do not say.
        checkpoints: ``checkpoint-N`` folders of a training output that hold the same kind of weights, by step.
        facts: the JSON files that say how it was made (``trainer_state``, ``all_results``, ``merge_report``,
            ``config``, ``adapter_config``, ...), by the file's stem.
    """

    folder: Path
    kind: Kind
    weights: tuple[Path, ...]
    peft_type: str | None = None
    base_model: str | None = None
    checkpoints: tuple[Path, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
