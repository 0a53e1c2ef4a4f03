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
    for setting in ("RANK=0", "LOCAL_RANK=0", "WORLD_SIZE=1", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=0"):
        monkeypatch.setenv(*setting.split("="))
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)
    monkeypatch.setattr("llamafactory.hparams.parser.is_torch_bf16_gpu_available", lambda: True)


@pytest.mark.parametrize("path", [path for path in BROKEN if headers(path, "llamafactory")], ids=stem)
def test_llamafactory_refuses_it_too(path, one_process):
    from llamafactory.hparams.parser import get_train_args
    from transformers.integrations import HfDeepSpeedConfig, unset_hf_deepspeed_config

    values = dict(read_recipe(path).values)
    zero = None
    if (
        "ZeRO-3" in headers(path, "llamafactory")[0]
    ):  # DeepSpeed itself takes a minute to start; this is all that is asked
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


@pytest.mark.parametrize("path", CLEAN, ids=stem)
def test_llamafactory_takes_a_clean_recipe(path, one_process):
    from llamafactory.hparams.parser import get_train_args

    values = dict(read_recipe(path).values)
    values.pop("deepspeed", None)  # takes a minute to start
    assert get_train_args(values)


MISMATCHES = [path for path in BROKEN if "deepspeed-mismatch" in headers(path, "expect")[0]]


@pytest.mark.parametrize("path", MISMATCHES, ids=stem)
def test_transformers_sees_the_same_mismatch(path, one_process, tmp_path):
    """The comparison that ends in «Please correct the following DeepSpeed config values»."""
    from transformers import TrainingArguments
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig, unset_hf_deepspeed_config

    values = read_recipe(path).values
    names = ("per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate", "bf16")
    arguments = TrainingArguments(str(tmp_path), **{name: values[name] for name in names})
    real = HfTrainerDeepSpeedConfig(values["deepspeed"])
    real.trainer_config_process(arguments)
    unset_hf_deepspeed_config()
    assert len(real.mismatches) == 1
    assert headers(path, "expect")[0].split()[-1] in real.mismatches[0]


# --- what depends on the machine ---


@pytest.fixture
def checkpoints(tmp_path):
    """The clean recipe with an output folder in which something lies already."""

    def make(*files: str, **changes):
        for file in files:
            (tmp_path / "out" / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "out" / file).touch()
        values = read_recipe(ROOT / "tests" / "clean_recipes" / "base.yaml").values
        return Recipe(Path("r.yaml"), values | {"output_dir": str(tmp_path / "out")} | changes)

    return make


@pytest.mark.parametrize(
    ("files", "changes", "expected"),
    [
        (["checkpoint-5/optimizer.pt", "checkpoint-20/optimizer.pt"], {}, "warning resume checkpoint-20;"),
        (["checkpoint-20/adapter_model.safetensors"], {}, "warning resume with a new optimizer"),
        (["checkpoint-20/model.safetensors"], {"deepspeed": "recipes/deepspeed/ds_z3.json"}, "error resume DeepSpeed"),
        (["checkpoint-20/optimizer.pt"], {"overwrite_output_dir": True}, "warning output-dir starts over"),
        (["adapter_model.safetensors"], {}, "error output-dir weights of a finished run"),
        (["checkpoint-20/global_step20/x.pt"], {"deepspeed": "recipes/deepspeed/ds_z3.json"}, "warning resume goes on"),
        (["trainer_log.jsonl"], {}, None),
        (["adapter_model.safetensors"], {"overwrite_output_dir": True}, None),
    ],
)
def test_an_output_folder_that_is_not_empty(checkpoints, files, changes, expected):
    findings = check_recipe(checkpoints(*files, **changes))
    assert [fits(expected, finding) for finding in findings] == ([True] if expected else [])


def test_llamafactory_treats_the_folder_as_we_say(checkpoints, one_process):
    from llamafactory.hparams.parser import get_train_args

    with pytest.raises(ValueError, match="already exists and is not empty"):
        get_train_args(dict(checkpoints("adapter_model.safetensors").values))
    resumed = get_train_args(dict(checkpoints("checkpoint-5/x", "checkpoint-20/x").values))[2]
    assert resumed.resume_from_checkpoint.endswith("checkpoint-20")


@pytest.mark.parametrize(
    ("gpus", "visible", "changes", "warns"),
    [
        ("Tesla T4, 7.5", None, {}, True),
        ("NVIDIA A100-SXM4-80GB, 8.0", None, {}, False),
        ("NVIDIA A100-SXM4-80GB, 8.0\nTesla T4, 7.5", None, {}, True),
        ("NVIDIA A100-SXM4-80GB, 8.0\nTesla T4, 7.5", "0", {}, False),
        ("Tesla T4, 7.5", None, {"bf16": False, "fp16": True}, False),
        ("Failed to initialize NVML: Driver/library version mismatch", None, {}, False),
    ],
)
def test_bf16_on_a_gpu_without_it(tmp_path, monkeypatch, checkpoints, gpus, visible, changes, warns):
    command = tmp_path / "bin" / "nvidia-smi"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\ncat <<'END'\n{gpus}\nEND\n", encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    findings = check_recipe(checkpoints(**changes))
    assert [fits("warning bf16-gpu Tesla T4", finding) for finding in findings] == ([True] if warns else [])


@pytest.mark.parametrize("deepspeed", [None, "recipes/deepspeed/ds_z3.json"])
def test_a_space_in_the_recipes_path(checkpoints, deepspeed):
    values = checkpoints().values | {"deepspeed": deepspeed}
    (finding,) = check_recipe(Recipe(Path("my recipes/r.yaml"), values))
    assert fits(f"{'error' if deepspeed else 'warning'} space-in-path torchrun", finding)


def test_spaces_inside_the_recipe_are_safe(checkpoints, tmp_path):
    assert check_recipe(checkpoints(output_dir=str(tmp_path / "my out"), run_name="two words")) == []


def test_unknown_keys_that_were_allowed(checkpoints, monkeypatch):
    monkeypatch.setenv("ALLOW_EXTRA_ARGS", "1")
    (finding,) = check_recipe(checkpoints(lora_rnk=8))
    assert fits("warning unknown-key lora_rank", finding)


# --- secrets ---

FAKE = {
    "a Hugging Face token": "hf_" + "x" * 34,
    "a GitHub token": "ghp_" + "x" * 36,
    "an AWS key": "AKIA" + "X" * 16,
    "an OpenAI or Anthropic key": "sk-" + "x" * 40,
    "a Google key": "AIza" + "x" * 35,
    "a Slack token": "xoxb-" + "0" * 20,
    "a Weights & Biases key": "0123456789" * 4,
}


@pytest.mark.parametrize("kind", FAKE)
@pytest.mark.parametrize(
    "key", ["run_name", "template", "dataset", "lora_rank", "hub_token", "no_such_key", "deepspeed"]
)
def test_a_secret_is_found_and_never_shown(checkpoints, kind, key):
    from lf_registry.check.hidden import without_secrets
    from lf_registry.check.report import Report

    recipe = checkpoints(**{key: {"a": [FAKE[kind]]} if key == "deepspeed" else FAKE[kind]})
    findings = check_recipe(recipe)
    assert any(finding.code == "secret" and key in finding.where for finding in findings)
    assert FAKE[kind] not in repr(findings)
    assert FAKE[kind] not in repr(without_secrets(Report("r.yaml", recipe.values)).values)
    assert kind in repr(findings) or key == "hub_token"


def test_a_commit_is_no_secret(checkpoints):
    assert check_recipe(checkpoints(model_revision=FAKE["a Weights & Biases key"])) == []


# --- all together ---


def _call_sites() -> dict[tuple[str, int], str]:
    """Where a finding is made: (file, line) -> its code."""
    found = {}
    for path in CHECK.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id
            if called in ("error", "warning", "found") and len(node.args) == 5:
                assert isinstance(node.args[1], ast.Constant), (path, node.lineno)
                found[path.name, node.lineno] = node.args[1].value
    return found


def test_every_message_has_a_broken_recipe(monkeypatch, checkpoints):
    """Neither a message nor a code exists that no test has seen; those of the machine have their own tests above."""
    seen: set[tuple[str, int]] = set()
    make = facts.Finding

    def recording(*arguments):
        frame = sys._getframe(2)
        seen.add((Path(frame.f_code.co_filename).name, frame.f_lineno))
        return make(*arguments)

    monkeypatch.setattr(facts, "Finding", recording)
    for path in BROKEN:
        check_recipe(read_recipe(path))
    of_the_machine = {"resume", "bf16-gpu", "space-in-path"}
    missing = {site: code for site, code in _call_sites().items() if site not in seen and code not in of_the_machine}
    # ALLOW_EXTRA_ARGS; overwrite_output_dir; weights of a finished run
    assert sorted(missing.values()) == ["output-dir", "output-dir", "unknown-key"], missing
    assert of_the_machine <= set(_call_sites().values())
    assert len(BROKEN) >= 45


def test_the_recipe_is_checked_without_heavy_imports(python):
    code = """
import sys, time
start = time.perf_counter()
from lf_registry.check.rules import check_recipe
from lf_registry.recipes import read_recipe
assert check_recipe(read_recipe("recipes/ironman_lora.yaml")) == []
assert time.perf_counter() - start < 4
assert not {"torch", "transformers", "llamafactory", "huggingface_hub"} & set(sys.modules)
"""
    result = python(code, LF_REGISTRY_DISABLE="1", PYTHONPATH="plugins")
    assert result.returncode == 0, result.stderr
