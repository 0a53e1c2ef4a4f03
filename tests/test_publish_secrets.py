"""Secrets in every kind of file that would go up: it stops before the first call, and repeats none of them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lf_registry.errors import UserError
from publish_folders import ROOT, on_the_hub

#: One of each kind, of nobody: as long as a real one, and with its characters.
MIXED = "a8Fk2LpQ9xZr4TbW7mNc1VyH5sJd3GuE6iKo0BtXaRzM"
SECRETS = {
    "huggingface": "hf_" + re.sub(r"\d", "q", MIXED)[:34],
    "github": "ghp_" + MIXED[:36],
    "aws": "AKIA" + MIXED.upper()[:16],
    "openai": "sk-proj-" + MIXED[:40],
    "wandb": "wandb_v1_" + MIXED[:40],
    "runpod": "rpa_" + MIXED.upper()[:40],
}


def in_json(name: str, key: str = "note") -> Callable[[Path, str], None]:
    def plant(folder: Path, secret: str) -> None:
        path = folder / name
        values = json.loads(path.read_text("utf-8")) if path.exists() else {}
        path.write_text(json.dumps(values | {key: f"see {secret} here"}, ensure_ascii=False), "utf-8")

    return plant


def at_the_end(name: str, line: str) -> Callable[[Path, str], None]:
    def plant(folder: Path, secret: str) -> None:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(line.format(secret))

    return plant


def in_the_weights(folder: Path, secret: str) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    save_file(load_file(path), path, metadata={"format": "pt", "command": f"train --key {secret}"})


def in_a_value_of_the_log(folder: Path, secret: str) -> None:
    path = folder / "trainer_state.json"
    state = json.loads(path.read_text())
    state["log_history"].append({"step": 3, "run": {"env": [secret]}})
    path.write_text(json.dumps(state))


PLACES = {
    "adapter_config.json": in_json("adapter_config.json"),
    "tokenizer_config.json": in_json("tokenizer_config.json"),
    "trainer_state.json": in_a_value_of_the_log,
    "all_results.json": in_json("all_results.json"),
    "trainer_log.jsonl": at_the_end("trainer_log.jsonl", '{{"step": 1}}\n{{"step": 2, "info": "{}"}}\n'),
    "chat_template.jinja": at_the_end("chat_template.jinja", "\n{{# {} #}}"),
    "Modelfile": at_the_end("Modelfile", "FROM .\n# {}\n"),
    "LICENSE": at_the_end("LICENSE", "Apache\n{}\n"),
    "README.md": at_the_end("README.md", "---\nlicense: apache-2.0\n---\n# 내 모델\n\n    export KEY={}\n"),
    "adapter_model.safetensors": in_the_weights,
    "checkpoint-5/adapter_config.json": in_json("checkpoint-5/adapter_config.json"),
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_stays_here(hub, publish_here, adapter_copy, place, kind):
    if place == "README.md":
        (adapter_copy / "README.md").unlink()  # PEFT's draft, which is replaced
    PLACES[place](adapter_copy, SECRETS[kind])
    with pytest.raises(UserError) as caught:
        publish_here(adapter_copy, checkpoints=True)
    assert hub.calls == []
    assert str(adapter_copy / place) in str(caught.value) and "nothing was uploaded" in str(caught.value)
    assert SECRETS[kind][8:] not in str(caught.value)


def test_a_secret_in_the_recipe_stays_here(hub, publish_here, adapter_copy, tmp_path):
    recipe = tmp_path / "r.yaml"
    shutil.copyfile(ROOT / "recipes" / "ironman_lora.yaml", recipe)
    with recipe.open("a") as file:
        file.write(f"# wandb login {SECRETS['wandb']}\nrun_name: {SECRETS['github']}\n")
    with pytest.raises(UserError) as caught:
        publish_here(adapter_copy, recipe=str(recipe))
    assert hub.calls == [] and not [secret for secret in SECRETS.values() if secret[8:] in str(caught.value)]


def test_all_of_them_are_named_at_once(hub, publish_here, adapter_copy):
    (adapter_copy / "README.md").unlink()
    for (place, plant), secret in zip(PLACES.items(), [*SECRETS.values()] * 2, strict=False):
        if not place.startswith("checkpoint"):
            plant(adapter_copy, secret)
    with pytest.raises(UserError) as caught:
        publish_here(adapter_copy)
    named = {place for place in PLACES if str(adapter_copy / place) in str(caught.value)}
    assert named >= set(PLACES) - {"checkpoint-5/adapter_config.json"} and hub.calls == []


def test_secrets_beside_what_goes_up_stay_here(hub, publish_here, adapter_copy):
    """Files that are not on the list may hold anything; no byte of them is sent."""
    for number, name in enumerate(
        [".env", "notes.txt", "train.log", "run.sh", ".netrc", "wandb/config.yaml", "id_rsa"]
    ):
        path = adapter_copy / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"key={[*SECRETS.values()][number % len(SECRETS)]}\n")
    publish_here(adapter_copy)
    everything = b"".join([*on_the_hub(hub).values(), *(call.body for call in hub.calls)])
    assert not [kind for kind, secret in SECRETS.items() if secret.encode() in everything]
