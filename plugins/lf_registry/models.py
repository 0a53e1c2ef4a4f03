"""The models that LLaMA-Factory's web UI offers because of us."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .registry import read_yaml

MODELS_FILE = Path(__file__).with_name("models.yaml")


@dataclass(frozen=True)
class Model:
    """A model on the Hugging Face Hub.

    Attributes:
        path: its id on the Hub.
        template: the template it is used with.
    """

    path: str
    template: str


def load_models() -> dict[str, Model]:
    """The models of ``models.yaml``, by the name shown in the web UI, in the file's order."""
    return {name: Model(**values) for name, values in read_yaml(MODELS_FILE).items()}
