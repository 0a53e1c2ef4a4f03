"""``lf-registry merge RECIPE`` gives what ``llamafactory-cli export RECIPE`` gives, the weights bit for bit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from safetensors.torch import load_file

from conftest import ROOT
from lf_registry.merge.resolve import Request, request_from_recipe
from lf_registry.merge.run import run_merge
from lf_registry.templates import load_templates
from merge_models import load, same, save_adapter

RECIPES = sorted((ROOT / "recipes" / "merge").glob("*.yaml"))
PERSONA = ROOT / "recipes" / "merge" / "ironman.yaml"
#: Runs LLaMA-Factory's export for several command lines in one process, which imports it once.
EXPORT = """
import json, sys
from llamafactory.train.tuner import export_model
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["llamafactory-cli", *arguments]
    export_model()
"""


def rows(base, count: int):
    """Give a model this many rows for its 3,007 tokens; real vocabularies are padded, too."""
    model = load(base)
    model.resize_token_embeddings(count, mean_resizing=False)
    model.save_pretrained(base)


def overrides(base, adapter, out) -> list[str]:
    return [f"model_name_or_path={base}", f"adapter_name_or_path={adapter}", f"export_dir={out}"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory, bundled_texts):
    """(base, adapter, folder with LLaMA-Factory's export of every shipped recipe)."""
    from lf_registry.tiny.model import build_model

    folder = tmp_path_factory.mktemp("recipes")
    base, adapter = folder / "base", folder / "adapter"
    build_model(base, bundled_texts, hidden=96)
    rows(base, 3072)
    save_adapter(base, adapter, target_modules="all-linear", r=16, lora_alpha=24)
    lines = [[str(path), *overrides(base, adapter, folder / path.stem)] for path in RECIPES]
    command = [sys.executable, "-c", EXPORT, json.dumps(lines)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return base, adapter, folder


@pytest.fixture
def both(exported, tmp_path):
    """A function that gives LLaMA-Factory's folder and ours for one recipe."""
    base, adapter, folder = exported

    def run(path):
        request = request_from_recipe(str(path), overrides(base, adapter, tmp_path / "ours"))
        return folder / path.stem, run_merge(request, verify="tensors", show=False).out

    return run


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_gives_the_same_model_with_both_commands(both, path):
    from transformers import AutoTokenizer

    theirs, ours = both(path)
    same(load_file(ours / "model.safetensors"), load_file(theirs / "model.safetensors"))
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (theirs, ours)]
    assert tokenizers[0].chat_template == tokenizers[1].chat_template
    assert tokenizers[0].get_vocab() == tokenizers[1].get_vocab()
    assert tokenizers[0].eos_token == tokenizers[1].eos_token
    assert tokenizers[1].padding_side == tokenizers[0].padding_side == "left"
    assert (ours / "Modelfile").read_text() == (theirs / "Modelfile").read_text()
    configs = [json.loads((folder / "config.json").read_text()) for folder in (theirs, ours)]
    assert {key: configs[1].get(key) for key in configs[0]} == configs[0]
    stops = json.loads((ours / "generation_config.json").read_text())["eos_token_id"]
    assert tokenizers[1].eos_token_id in stops


def test_the_persona_and_a_model_that_loads_without_a_warning(both, caplog):
    from transformers import AutoTokenizer

    _, ours = both(PERSONA)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = load(ours)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert len(model.generation_config.eos_token_id) == 3
    text = AutoTokenizer.from_pretrained(ours).apply_chat_template(
        [{"role": "user", "content": "안녕"}], tokenize=False
    )
    assert load_templates()["llama3-ironman"].default_system in text


def test_a_template_that_does_not_fit(exported, tmp_path):
    from lf_registry.errors import UserError

    base = tmp_path / "base"
    shutil.copytree(exported[0], base)
    rows(base, 3007)
    request = {"adapters": (str(exported[1]),), "out": tmp_path / "out", "base": str(base)}
    with pytest.raises(UserError, match=r"template: qwen: answers end with the token ids 3007.*only 3,007 tokens"):
        run_merge(Request(**request, template="qwen"), verify="tensors", show=False)
    with pytest.raises(UserError, match="llama3 cannot be applied with tool_format"):
        run_merge(Request(**request, template="llama3", settings={"tool_format": "none_such"}), show=False)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_the_tokenizer_as_trained_goes_with_the_model(exported, tmp_path):
    base, adapter, folder = exported
    trained = tmp_path / "trained"
    shutil.copytree(adapter, trained / "checkpoint-7")
    (trained / "trainer_state.json").write_text("{}")
    for path in folder.joinpath("ironman").iterdir():
        if "token" in path.name or path.suffix == ".jinja":
            shutil.copy(path, trained)
    result = run_merge(Request((str(trained / "checkpoint-7"),), tmp_path / "out"), verify="tensors", show=False)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (result.out / name).read_bytes() == (folder / "ironman" / name).read_bytes()
        assert (result.out / name).read_bytes() != (base / name).read_bytes() or name == "tokenizer.json"
    eot = json.loads((trained / "tokenizer_config.json").read_text())["eos_token"]
    assert eot == "<|eot_id|>"
    assert any("--template" in note for note in result.notes)
    stops = json.loads((result.out / "generation_config.json").read_text())["eos_token_id"]
    assert stops == json.loads((base / "generation_config.json").read_text())["eos_token_id"], "both were there already"


def test_the_base_from_the_adapter_the_logits_and_the_report(exported, tmp_path):
    base, adapter, _ = exported
    result = run_merge(Request((str(adapter),), tmp_path / "out"), show=False)
    report = json.loads((tmp_path / "out" / "merge_report.json").read_text())
    assert report == result.report and report["verified"] == "logits"
    assert report["base"] == str(base)
    assert 0 <= report["logits"]["distance"] <= report["logits"]["tolerance"] == 1e-4
    assert report["tensors"]["tensors_merged"] == 2 * 7
    size = (tmp_path / "out" / "model.safetensors").stat().st_size
    assert report["tensors"]["files"]["model.safetensors"]["bytes"] == size


def test_logits_that_differ_are_an_error(exported, tmp_path, monkeypatch):
    from lf_registry.errors import UserError
    from lf_registry.merge import state

    scaling = state.AddDelta
    monkeypatch.setattr(state, "AddDelta", lambda a, b, s, *more: scaling(a, b, s * 1.5, *more))
    with pytest.raises(UserError, match="does not answer like base"):
        run_merge(Request((str(exported[1]),), tmp_path / "out"), verify="logits", show=False)
    assert not any(tmp_path.iterdir())


def test_a_base_that_cannot_be_run_here(exported, tmp_path):
    from lf_registry.errors import UserError

    base = tmp_path / "base"
    shutil.copytree(exported[0], base)
    config = base / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"never_heard_of"'))
    request = Request((str(exported[1]),), tmp_path / "out", base=str(base))
    with pytest.raises(UserError, match=r"--verify logits: base \+ adapter cannot be run here \(.*never_heard_of"):
        run_merge(request, verify="logits", show=False)
    assert not (tmp_path / "out").exists()
    result = run_merge(request, show=False)
    assert result.report["verified"] == "tensors" and any("logits were not compared" in note for note in result.notes)


CONFIGURATION = """
from transformers import LlamaConfig
class Config(LlamaConfig):
    model_type = "of_our_own"
"""
MODELING = """
from transformers import LlamaForCausalLM
from .configuration_own import Config
class Model(LlamaForCausalLM):
    config_class = Config
"""


def test_a_base_with_code_of_its_own(exported, tmp_path, monkeypatch):
    base = tmp_path / "base"
    shutil.copytree(exported[0], base)
    config = json.loads((base / "config.json").read_text()) | {"model_type": "of_our_own"}
    config["auto_map"] = {"AutoConfig": "configuration_own.Config", "AutoModelForCausalLM": "modeling_own.Model"}
    (base / "config.json").write_text(json.dumps(config))
    (base / "configuration_own.py").write_text(CONFIGURATION)
    (base / "modeling_own.py").write_text(MODELING)
    request = Request((str(exported[1]),), tmp_path / "out", base=str(base))
    result = run_merge(request, show=False)
    assert result.report["verified"] == "tensors" and "custom code" in str(result.notes)
    lines = [f"export_dir={tmp_path / 'again'}", "trust_remote_code=true", "infer_dtype=float32"]
    request = request_from_recipe(str(PERSONA), [*overrides(base, exported[1], ""), *lines])
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    assert run_merge(request, show=False).report["verified"] == "logits"
    assert (tmp_path / "again" / "modeling_own.py").read_text() == MODELING


def test_files_in_the_cache_count_as_free_memory():
    from lf_registry.merge.logits import free_memory

    lines = dict(line.split(":") for line in open("/proc/meminfo").read().splitlines())  # noqa: PTH123, SIM115
    total, available = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    assert free_memory() <= total
    if not Path("/sys/fs/cgroup/memory.max").is_file():
        assert abs(free_memory() - available) < 0.02 * total


def test_the_command_line(exported, tmp_path, monkeypatch, capsys):
    from typer.testing import CliRunner

    from lf_registry.cli import app

    _, adapter, _ = exported
    run = CliRunner().invoke(app, ["merge", str(adapter), "--out", str(tmp_path / "the out"), "--verify", "tensors"])
    assert run.exit_code == 0, run.output
    assert "14 tensors merged" in run.stdout
    last = run.stdout.splitlines()[-1]
    assert last == f"next: llamafactory-cli chat --model_name_or_path '{tmp_path / 'the out'}' --template NAME"
    run = CliRunner().invoke(app, ["merge", str(adapter)])
    assert "--out DIR is missing" in str(run.exception)
    folder = tmp_path / "run"
    shutil.copytree(adapter, folder / "checkpoint-30")
    shutil.copytree(adapter, folder / "checkpoint-4")
    run = CliRunner().invoke(app, ["merge", str(folder), "--out", str(tmp_path / "x")])
    assert "checkpoint-30" in str(run.exception)


def test_a_hub_id_comes_from_the_cache(exported, tmp_path):
    from lf_registry.errors import UserError

    base, adapter, _ = exported
    cache = tmp_path / "cache" / "models--someone--tiny"
    snapshot = cache / "snapshots" / ("0" * 40)
    shutil.copytree(base, snapshot)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0" * 40)
    request = Request((str(adapter),), tmp_path / "out", base="someone/tiny", cache_dir=str(tmp_path / "cache"))
    assert run_merge(request, verify="tensors", show=False).report["base"] == "someone/tiny"
    config = json.loads((adapter / "adapter_config.json").read_text())
    config |= {"revision": "old", "base_model_name_or_path": "someone/tiny"}
    trained = tmp_path / "trained"
    shutil.copytree(adapter, trained)
    (trained / "adapter_config.json").write_text(json.dumps(config))
    (cache / "refs" / "main").rename(cache / "refs" / "old")
    request = Request((str(trained),), tmp_path / "revision", cache_dir=str(tmp_path / "cache"))
    assert run_merge(request, verify="tensors", show=False).report["revision"] == "old"
    with pytest.raises(UserError, match="it is not in the cache"):
        run_merge(Request((str(adapter),), tmp_path / "b", base="someone/other", cache_dir=str(tmp_path / "cache")))
    with pytest.raises(UserError, match="neither a folder here nor a Hub id"):
        run_merge(Request((str(adapter),), tmp_path / "b", base="./nothing/here"))
