"""Every broken recipe on disk gives its own finding and no other; clean ones give none."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from lf_registry.check import facts
from lf_registry.check.rules import check_recipe
from lf_registry.recipes import Recipe, read_recipe

CHECK = ROOT / "plugins" / "lf_registry" / "check"
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


@pytest.mark.parametrize("path", BROKEN, ids=stem)
def test_a_broken_recipe_has_its_finding_and_no_other(path):
    expected = headers(path, "expect")
    findings = check_recipe(read_recipe(path))
    assert expected
    assert len(findings) == len(expected), findings
    for line in expected:
        assert any(fits(line, finding) for finding in findings), (line, findings)
    for finding in findings:
        assert finding.where.startswith(str(path))
        assert finding.message.strip() and finding.fix.strip()
        assert not finding.message.endswith("."), "one sentence or two; the report adds the point"


@pytest.mark.parametrize("path", SHIPPED + CLEAN, ids=stem)
def test_a_clean_recipe_has_no_findings(path):
    assert check_recipe(read_recipe(path)) == []


@pytest.fixture
def one_process(monkeypatch):
    """The environment of one torchrun process on a machine with bf16."""
    for name, value in dict(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="0").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)
    monkeypatch.setattr("llamafactory.hparams.parser.is_torch_bf16_gpu_available", lambda: True)


@pytest.mark.parametrize("path", [path for path in BROKEN if headers(path, "llamafactory")], ids=stem)
def test_llamafactory_refuses_it_too(path, one_process):
    from llamafactory.hparams.parser import get_train_args
    from transformers.integrations import HfDeepSpeedConfig, unset_hf_deepspeed_config

    values = dict(read_recipe(path).values)
    zero = None
    if "ZeRO-3" in headers(path, "llamafactory")[0]:  # DeepSpeed itself takes a minute to start; this is all that is asked
        zero = HfDeepSpeedConfig(values.pop("deepspeed"))
    try:
        with pytest.raises(Exception, match=re.escape(headers(path, "llamafactory")[0])):
            get_train_args(values)
    finally:
        unset_hf_deepspeed_config()
        del zero


def test_the_base_of_the_broken_recipes_is_good_for_llamafactory(one_process):
    """So that what the others are refused for is the one thing in which they differ."""
    from llamafactory.hparams.parser import get_train_args

    values = dict(read_recipe(ROOT / "tests" / "clean_recipes" / "base.yaml").values)
    assert get_train_args(values)[2].do_train
