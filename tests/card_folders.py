"""Folders as a training or a merge leaves them, without weights: a card needs none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lf_registry.publish.artifact import Artifact
from lf_registry.recipes import read_recipe

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
LLAMA3 = "allganize/Llama-3-Alpha-Ko-8B-Instruct"
#: What the Trainer writes for recipes/ironman_lora.yaml on two devices: 297 rows, 10 epochs.
STATE = {
    "epoch": 10.0,
    "global_step": 100,
    "max_steps": 100,
    "train_batch_size": 4,
    "best_metric": None,
    "log_history": [
        {"epoch": 1.0, "step": 10, "loss": 2.4, "learning_rate": 1e-4},
        {"epoch": 1.0, "step": 10, "eval_loss": 2.1034},
        {"epoch": 5.0, "step": 50, "eval_loss": 1.7312},
        {"epoch": 10.0, "step": 100, "eval_loss": 1.6821},
        {"epoch": 10.0, "step": 100, "train_loss": 1.2345, "train_runtime": 4321.0},
    ],
}
RESULTS = {
    "epoch": 10.0,
    "train_loss": 1.23456,
    "train_runtime": 4321.0,
    "train_samples_per_second": 0.687,
    "train_steps_per_second": 0.023,
}
TRAINER_CARD = """---
library_name: peft
license: other
base_model: /workspace/models/llama
tags:
- base_model:adapter:/workspace/models/llama
- llama-factory
- lora
- generated_from_trainer
model-index:
- name: ironman_lora
  results: []
---

<!-- This model card has been generated automatically according to the information the Trainer had access to. You
should probably proofread and complete it, then remove this comment. -->

# ironman_lora

This model is a fine-tuned version of [/workspace/models/llama](https://huggingface.co//workspace/models/llama) on the
ironman dataset.

### Framework versions

- PEFT 0.18.1
- Transformers 5.5.4
- Pytorch 2.11.0+cu128
- Datasets 4.0.0
- Tokenizers 0.22.1
"""


def write(folder: Path, **files) -> None:
    """Write files: a name's last underscore is its dot (``config_json``)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        stem, _, suffix = name.rpartition("_")
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8", newline="")


def artifact(folder: Path, kind: str, base: str | None, peft_type: str | None = None) -> Artifact:
    facts = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
    return Artifact(folder, kind, (), peft_type, base, (), facts)


def adapter(folder: Path, base: str | None = LLAMA3, **config) -> Artifact:
    """The output of recipes/ironman_lora.yaml."""
    write(
        folder,
        adapter_config_json={"peft_type": "LORA", "r": 16, "lora_alpha": 32, "peft_version": "0.18.1"} | config,
        trainer_state_json=STATE,
        all_results_json=RESULTS,
        tokenizer_config_json={"eos_token": "<|eot_id|>"},
        tokenizer_json={},
        README_md=TRAINER_CARD,
        training_loss_png="",
        training_eval_loss_png="",
    )
    shutil.copyfile(GOLDEN / "llama3-ironman.jinja", folder / "chat_template.jinja")
    return artifact(folder, "adapter", base, str(config.get("peft_type", "LORA")))


def merged(folder: Path) -> Artifact:
    """The output of ``lf-registry merge`` for the same."""
    write(
        folder,
        config_json={"model_type": "llama", "transformers_version": "5.5.4"},
        generation_config_json={"eos_token_id": [128001, 128009]},
        tokenizer_config_json={"eos_token": "<|eot_id|>"},
        tokenizer_json={
            "added_tokens": [
                {"id": 128001, "content": "<|end_of_text|>"},
                {"id": 128009, "content": "<|eot_id|>"},
            ]
        },
        merge_report_json={"base": LLAMA3, "adapters": ["outputs/ironman_lora"], "template": "llama3-ironman"},
    )
    shutil.copyfile(GOLDEN / "llama3-ironman.jinja", folder / "chat_template.jinja")
    shutil.copyfile(GOLDEN / "modelfile.llama3-ironman", folder / "Modelfile")
    return artifact(folder, "model", LLAMA3)


def full(folder: Path, base: str | None = None) -> Artifact:
    """The output of recipes/kanana_qa_full.yaml."""
    write(
        folder,
        config_json={"model_type": "llama", "transformers_version": "5.5.4"},
        generation_config_json={"eos_token_id": 128001},
        tokenizer_config_json={"eos_token": "<|end_of_text|>"},
        trainer_state_json=STATE | {"train_batch_size": 1, "log_history": []},
        all_results_json=RESULTS | {"eval_loss": 1.5},
    )
    shutil.copyfile(GOLDEN / "kanana_qa.jinja", folder / "chat_template.jinja")
    return artifact(folder, "model", base)


KINDS = {
    "adapter": (adapter, "recipes/ironman_lora.yaml", "someone/Llama-3-Alpha-Ko-8B-Ironman-LoRA"),
    "merged": (merged, "recipes/ironman_lora.yaml", "someone/Llama-3-Alpha-Ko-8B-Ironman"),
    "full": (full, "recipes/kanana_qa_full.yaml", "someone/kanana-nano-qa"),
}


@pytest.fixture
def no_cached_cards(monkeypatch, tmp_path):
    """A Hub cache of the test's own: what this machine has downloaded does not count."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    return tmp_path / "hub-cache"


@pytest.fixture
def card(tmp_path, no_cached_cards):
    """A function that makes a card of a kind of folder; keywords replace the arguments of ``make_card``."""
    from lf_registry.publish.card.make import make_card

    def make(kind: str = "adapter", **changes):
        build, recipe, repo = KINDS[kind]
        what = changes.pop("artifact", None) or build(tmp_path / kind)
        options = {"license": None, "public": False, "existing": None} | changes
        given = options.pop("recipe", recipe)
        return make_card(
            what,
            read_recipe(given) if isinstance(given, str) else given,
            options.pop("repo_id", repo),
            **options,
        )

    return make
