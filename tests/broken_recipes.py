"""Recipes on disk, broken and clean, and what their headers expect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from checkpoint_folders import checkpoint
from conftest import ROOT
from lf_registry.recipes import Recipe, read_recipe

BROKEN = sorted((ROOT / "tests" / "broken" / "recipes").glob("*.yaml"))
CLEAN = sorted((ROOT / "tests" / "clean_recipes").glob("*.yaml"))
SHIPPED = sorted((ROOT / "recipes").glob("*.yaml"))


def stem(path: Path) -> str:
    return path.stem


def headers(path: Path, name: str) -> list[str]:
    return re.findall(rf"^# {name}: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)


def fits(expected: str, finding) -> bool:
    severity, code, word = expected.split(" ", 2)
    return (finding.severity, finding.code) == (severity, code) and word in f"{finding.where} {finding.message}"


@pytest.fixture
def one_process(monkeypatch):
    """The environment of one torchrun process on a machine with bf16."""
    for setting in ("RANK=0", "LOCAL_RANK=0", "WORLD_SIZE=1", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=0"):
        monkeypatch.setenv(*setting.split("="))
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)
    monkeypatch.setattr("llamafactory.hparams.parser.is_torch_bf16_gpu_available", lambda: True)


@pytest.fixture
def checkpoints(tmp_path):
    """The clean recipe with an output folder in which something lies already: empty files, or (step, kind)."""

    def make(*files: str | tuple[int, str], **changes):
        for file in files:
            if isinstance(file, tuple):
                checkpoint(tmp_path / "out", file[0], kind=file[1])
                continue
            (tmp_path / "out" / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "out" / file).touch()
        values = read_recipe(ROOT / "tests" / "clean_recipes" / "base.yaml").values
        return Recipe(Path("r.yaml"), values | {"output_dir": str(tmp_path / "out")} | changes)

    return make
