"""``lf-registry check`` as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from conftest import ROOT

LF = str(Path(sys.executable).parent / "lf-registry")
RECIPE = {
    "model_name_or_path": "nobody/no-such-model",
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "dataset": "d",
    "eval_dataset": "e",
    "eval_strategy": "epoch",
    "dataset_dir": ".",
    "template": "llama3",
    "output_dir": "out",
    "bf16": True,
}


class Done(NamedTuple):
    """What the command did."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def write(project):
    """Write two datasets, and the recipe with changes."""
    entry = {"columns": {"prompt": "q", "response": "a"}}
    project("dataset_info.json", {n: {"file_name": f"{n}.json", **entry} for n in ("d", "e")})
    project("d.json", [{"q": "지하철은?", "a": "방금 떠났어."}, {"q": "버스는 언제 온대?", "a": "오 분 뒤에 와."}])
    project("e.json", [{"q": "택시는 잡혔어?", "a": "아직이야."}])
    return lambda changes: project("r.yaml", yaml.safe_dump({**RECIPE, **(changes or {})}, allow_unicode=True))


@pytest.fixture
def fresh(write):
    """Run the command in a process of its own."""

    def run(*arguments: str, recipe: dict | None = None, **environment: str) -> Done:
        write(recipe)
        env = os.environ | environment
        done = subprocess.run([LF, "check", *arguments], capture_output=True, env=env, text=True, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def run(write, lf):
    """Run the command in this process, which has LLaMA-Factory imported already."""

    def run(*arguments: str, recipe: dict | None = None) -> Done:
        write(recipe)
        return Done(*lf("check", *arguments))

    return run


def test_a_good_recipe_without_a_network(fresh):
    done = fresh("r.yaml")
    assert done.returncode == 0, done.stderr
    assert "no problems found; 1 not checked" in done.stdout
    assert "llamafactory-cli train r.yaml" in done.stdout
    assert "hf download nobody/no-such-model" in " ".join(done.stdout.split())
    assert done.stderr == "", "nothing but the report is printed"


def test_errors_are_exit_code_1_and_warnings_only_with_strict(run):
    same = {"eval_dataset": "d"}
    assert run("r.yaml", recipe=same).returncode == 0
    strict = run("r.yaml", "--strict", recipe=same)
    assert strict.returncode == 1 and "train-eval-overlap" in strict.stdout
    broken = run("r.yaml", "--no-data", "lora_rnk=8")
    assert broken.returncode == 1 and "lora_rank" in broken.stdout


def test_json_and_html(fresh, project):
    done = fresh("r.yaml", "--json", "--html", "pages/report.html", "run_name=👍", PYTHONIOENCODING="cp949")
    data = json.loads(done.stdout)
    assert data["values"]["run_name"] == "👍" and [dataset["kept"] for dataset in data["datasets"]] == [2, 1]
    page = (project.root / "pages" / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!") and page.rstrip().endswith("</html>")
    assert not [path for path in (project.root / "pages").iterdir() if path.name != "report.html"]


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["nope.yaml"], "there is no such recipe", 1),
        (["r.yaml", "--no-data", "--preview", "2"], "--preview needs the data", 2),
        (["r.yaml", "--ids"], "--ids goes with --preview", 2),
        (["r.yaml", "--workers", "0"], "--workers", 2),
        (["r.yaml", "lora_rank"], "write key=value", 2),
        (["r.yaml", "a=[1"], "is not YAML behind the equals sign", 2),
        (["r.yaml", "--html", "/proc/x.html"], "--html /proc/x.html: cannot be written there", 1),
    ],
)
def test_what_cannot_be_run_is_one_sentence(run, arguments, message, code):
    done = run(*arguments)
    assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_preview_shows_what_is_trained(project, bundled_texts, run):
    from lf_registry.tiny.model import build_model

    build_model(project.root / "model", bundled_texts[:50], hidden=24, layers=1)
    done = run("r.yaml", "--preview", "1", "--ids", recipe={"model_name_or_path": "model"})
    assert "dataset d, row 1" in done.stdout and "⟦" in done.stdout and "<|eot_id|>" in done.stdout


def test_keys_of_a_stranger_that_change_what_is_trained(project):
    """A default_system changes LLaMA-Factory's shared template: the next check must not see it."""
    from lf_registry.hooks.pipeline import TEMPLATES, Arguments
    from lf_registry.tiny.model import build_tokenizer

    before = TEMPLATES["llama3"].default_system
    arguments = Arguments.parse({"model_name_or_path": "x", "template": "llama3", "default_system": "짧게."})
    assert arguments.fix(build_tokenizer(["가"])).default_system == "짧게."
    assert TEMPLATES["llama3"].default_system == before


def test_totals_that_are_not_the_trainings(project, run):
    info = json.loads((project.root / "dataset_info.json").read_text())
    info["d"]["num_samples"] = 1
    project("dataset_info.json", info)
    assert "the training draws 1 of them" in " ".join(run("r.yaml").stdout.split())


def test_the_checkout_is_not_needed(run):
    assert not (Path.cwd() / "recipes").exists() and Path.cwd() != ROOT
    assert run("r.yaml", "--no-data").returncode == 0
