"""What the documents say is true."""

from __future__ import annotations

import re
import subprocess

import pytest

from conftest import ROOT
from conversations import CONVERSATIONS

READMES = ["README.md", "README.ko.md"]
TRAIN = sorted(path.name for path in (ROOT / "recipes").glob("*.yaml"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def commands(name: str) -> list[str]:
    """The commands in a document's code blocks, without comments."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text(name), flags=re.M | re.S)
    blocks = "\n".join(block for language, block in fenced if not language)
    lines = [re.split(r"\s+#", line)[0].strip() for line in blocks.splitlines()]
    return [line for line in lines if re.match(r"(lf-registry|llamafactory-cli|make|hf|source|pip) ", line)]


def test_both_languages_show_the_same_commands():
    assert commands("README.md") == commands("README.ko.md")
    assert len(commands("README.md")) >= 8


@pytest.mark.parametrize("name", READMES)
def test_every_recipe_is_in_the_table_with_its_own_values(name):
    from lf_registry.recipes import read_recipe

    rows = {
        row[0].strip("` "): row
        for row in (line.strip("|").split("|") for line in text(name).splitlines() if line.startswith("| `"))
    }
    for recipe in TRAIN:
        values = read_recipe(ROOT / "recipes" / recipe).values
        row = rows[recipe]
        assert values["model_name_or_path"] in row[1] and f"`{values['template']}`" in row[3]


@pytest.mark.parametrize("name", [*READMES, "CONTRIBUTING.md", "datasets/README.md"])
def test_files_that_are_mentioned_exist(name):
    mentioned = set(
        re.findall(r"\b((?:recipes|templates|datasets|tests|plugins|benchmarks)/[\w./-]+\.\w+)", text(name))
    )
    assert not [
        path for path in mentioned if "captain" not in path and "chatbot" not in path and not (ROOT / path).exists()
    ]


@pytest.mark.parametrize("name", READMES)
def test_numbers(name):
    assert re.search(rf"\b{len(CONVERSATIONS)}(개| conversations)", text(name)), "the number of conversations compared"


def test_the_verbs_in_the_readme_exist():
    from lf_registry import cli

    verbs = {command.split()[1] for command in commands("README.md") if command.startswith("lf-registry")}
    known = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    assert verbs <= known | {group.name for group in cli.app.registered_groups}


def test_the_changelog_has_the_verbs():
    for verb in ("list", "show template", "new persona", "convert"):
        assert f"`{verb}`" in text("CHANGELOG.md") or f"`lf-registry {verb}`" in text("CHANGELOG.md")


def test_no_file_holds_a_path_of_somebodys_machine_or_a_token():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(r"/(?:ro{2}t|home/\w+|Users/\w+)/|hf_[A-Za-z0-9]{30}|sk-[A-Za-z0-9]{32}")
    allowed = {"tests/test_launcher.py", "tests/test_publish_scan.py"}  # what they search for
    found = [
        name
        for name in files
        if name not in allowed
        and (ROOT / name).is_file()
        and pattern.search((ROOT / name).read_text("utf-8", "replace"))
    ]
    assert found == []
