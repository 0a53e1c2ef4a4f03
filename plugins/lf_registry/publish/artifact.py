"""What is published: a folder as it was recognized, and the files that go up. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

#: A PEFT adapter; a merged or full model. A training output is one of the two, with checkpoints.
Kind = Literal["adapter", "model"]
#: PEFT's names that are no words.
_METHODS = {"LORA": "LoRA", "ADALORA": "AdaLoRA", "LOHA": "LoHa", "LOKR": "LoKr", "VERA": "VeRA"} | {
    name: name for name in ("IA3", "OFT", "BOFT")
}


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
        record: the folder of the training, where that is another: of a merged model, the adapter's.
    """

    folder: Path
    kind: Kind
    weights: tuple[Path, ...]
    peft_type: str | None = None
    base_model: str | None = None
    checkpoints: tuple[Path, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    record: Path | None = None

    @property
    def training(self) -> Path:
        """Where the training's plots and logs are."""
        return self.record or self.folder

    @property
    def method(self) -> str:
        """The name of an adapter's method as people write it: ``LoRA``, ``prefix tuning``; empty for a model."""
        kind = self.peft_type or ""
        if kind == "LORA" and self.facts.get("adapter_config", {}).get("use_dora"):
            return "DoRA"
        return _METHODS.get(kind, kind.replace("_", " ").lower())

    @property
    def noun(self) -> str:
        """What it is, with an article: ``a LoRA adapter``, ``an OFT adapter``, ``a model``."""
        noun = "model" if self.kind == "model" else f"{self.method} adapter".strip()
        return f"a{'n' if noun[0] in 'AEIOaeio' else ''} {noun}"
