"""The words of ``lf-registry publish``: what cannot be meant is refused with exit 2, before anything else happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from lf_registry.errors import WrongUsage
from lf_registry.publish.request import Request, check_request
from publish_folders import hub_token

TOKEN = hub_token()


@pytest.mark.parametrize(
    "words",
    [
        ("--token", TOKEN),
        (f"--token={TOKEN}",),
        ("--token", "not even one"),
        (TOKEN,),
        ("--tag", TOKEN),
        ("--revision", f"v-{TOKEN}"),
        ("--recipe", f"/tmp/{TOKEN}.yaml"),
        ("--license", "ghp_" + "x" * 36),
    ],
    ids=lambda words: words[0].split("=")[0][:10],
)
def test_a_token_on_the_command_line_is_refused_and_not_repeated(hub, publish_command, tmp_path, words):
    done = publish_command(tmp_path, "tester/m", *words, check=False)
    assert done.returncode == 2, done.stderr
    assert "a token does not belong on the command line: `ps`" in done.stderr and "hf auth login" in done.stderr
    assert "x" * 20 not in done.stdout + done.stderr
    assert hub.calls == []


@pytest.mark.parametrize("word", ["folder", "repo_id"])
def test_a_token_in_place_of_an_argument(word):
    values = {"folder": Path("f"), "repo_id": "tester/m"} | {word: Path(TOKEN) if word == "folder" else TOKEN}
    with pytest.raises(WrongUsage, match="does not belong") as caught:
        check_request(Request(**values))
    assert TOKEN not in str(caught.value)


def test_too_many_words(hub, publish_command, tmp_path):
    done = publish_command(tmp_path, "tester/m", "v1.0", check=False)
    assert done.returncode == 2 and "unexpected: v1.0" in done.stderr and "--help" in done.stderr


@pytest.mark.parametrize("name", ["a b", "a/b/c", "-m", "m.git", "a--b", "tester/" + "m" * 100, "한글/모델"])
def test_names_that_the_hub_does_not_take(name):
    with pytest.raises(WrongUsage, match="REPO_ID"):
        check_request(Request(Path("f"), name))


@pytest.mark.parametrize("name", ["m", "tester/m", "Llama-3-Alpha-Ko-8B-Ironman", "lab/kanana_1.5"])
def test_names_that_it_does(name):
    check_request(Request(Path("f"), name))


@pytest.mark.parametrize("option", ["tag", "revision"])
@pytest.mark.parametrize("name", ["", "a b", "a..b", "/a", "a/", "a//b", "x.lock", "a:b", "a~1", "v1.", "a@{b", "a\\b"])
def test_names_that_git_does_not_take(option, name):
    with pytest.raises(WrongUsage, match=f"--{option}"):
        check_request(Request(Path("f"), "tester/m", **{option: name}))


@pytest.mark.parametrize("name", ["v1.0", "step/10", "실험-2", "release_2026-01-01"])
def test_names_that_git_does(name):
    check_request(Request(Path("f"), "tester/m", tag=name, revision=name))


def test_options_that_exclude_each_other():
    with pytest.raises(WrongUsage, match="--checkpoints"):
        check_request(Request(Path("f"), "tester/m", card_only=True, checkpoints=True))
