"""Whose token it is and what it may: found before anything is uploaded; and the token itself is never shown."""

from __future__ import annotations

import json
import subprocess

import pytest

from hub.auth import fake_token, scope
from lf_registry.errors import UserError
from publish_folders import COMMAND

READ = ("read", {}, "may only read")
EXPIRED = ("write", {"expired": True}, "wrong, expired or revoked")
OTHERS = ("fineGrained", {"scoped": (scope("model", "tester/other", "repo.write"),)}, "no write access")
READING = ("fineGrained", {"scoped": (scope("user", "tester", "repo.content.read"),)}, "no write access")


@pytest.mark.parametrize(
    ("role", "more", "words"), [READ, EXPIRED, OTHERS, READING], ids=["read", "expired", "other-repo", "scope-read"]
)
def test_a_token_that_may_not_write(hub, publish_here, monkeypatch, training_output, role, more, words):
    monkeypatch.setenv("HF_TOKEN", hub.new_token(role, **more))
    with pytest.raises(UserError, match=words) as caught:
        publish_here(training_output)
    assert "https://huggingface.co/settings/tokens" in caught.value.hint
    assert [call.path for call in hub.calls] == ["/api/whoami-v2"] and hub.state.repos == {}


def test_a_token_that_nobody_knows(hub, publish_here, monkeypatch, training_output):
    monkeypatch.setenv("HF_TOKEN", fake_token("unknown"))
    with pytest.raises(UserError, match="does not accept this token") as caught:
        publish_here(training_output)
    assert "hf auth login" in caught.value.hint and len(hub.calls) == 1


def test_no_token(hub, publish_here, monkeypatch, training_output):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match="there is no Hugging Face token") as caught:
        publish_here(training_output)
    assert "hf auth login" in caught.value.hint and hub.calls == []


def test_the_token_of_hf_auth_login(hub, publish_here, monkeypatch, training_output, tmp_path):
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text(hub.token + "\n")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    assert "publishing as tester to tester/m" in publish_here(training_output)


@pytest.mark.parametrize(
    ("repo_id", "words", "hint"),
    [
        ("stranger/m", "who may publish under tester, lab, watchers, not under 'stranger'", "name tester/m"),
        ("watchers/m", "this token may not write there", "ask its owner"),
    ],
)
def test_a_namespace_of_others(hub, publish_here, training_output, repo_id, words, hint):
    with pytest.raises(UserError, match=words) as caught:
        publish_here(training_output, repo_id)
    assert hint in caught.value.hint and hub.state.repos == {}


def test_a_repository_where_the_token_may_only_read(hub, publish_here, training_output):
    hub.state.create("watchers/m", private=True, author="stranger")
    with pytest.raises(UserError, match="may not write there") as caught:
        publish_here(training_output, "watchers/m")
    assert "ask its owner" in caught.value.hint
    assert {call.method for call in hub.calls} == {"GET"}


@pytest.mark.parametrize(
    "scoped",
    [scope("user", "tester", "repo.write"), scope("model", "tester/m", "repo.content.read", "repo.write")],
    ids=["namespace", "repository"],
)
def test_a_fine_grained_token_that_may(hub, publish_here, monkeypatch, training_output, scoped):
    monkeypatch.setenv("HF_TOKEN", hub.new_token("fineGrained", scoped=(scoped,)))
    publish_here(training_output)
    assert hub.repo("tester/m").private


@pytest.mark.parametrize("token", ["hf_" + "x" * 20 + " " + "x" * 14, "hf_토큰" + "x" * 30, "hf_" + "x" * 34 + "\x01"])
def test_a_token_with_something_else_in_it(hub, publish_here, monkeypatch, training_output, token):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UserError, match="holds characters that no token has") as caught:
        publish_here(training_output)
    assert "x" * 14 not in str(caught.value) and hub.calls == []


def test_offline(hub, publish_command, training_output):
    done = publish_command(training_output, "tester/m", check=False, new=True, HF_HUB_OFFLINE="1")
    assert done.returncode == 1 and hub.calls == []
    assert done.stderr.splitlines() == [
        "error: HF_HUB_OFFLINE is set, so nothing can be uploaded",
        "  next: unset HF_HUB_OFFLINE",
    ]


#: Fails in the middle of everything, as a mistake in our own code would, with the token among the values at hand.
CRASH = COMMAND[2].replace("main()", "from lf_registry.publish import run; run.send = None; main()")


@pytest.mark.parametrize("crash", [False, True], ids=["published", "traceback"])
def test_the_token_is_in_no_output_and_in_no_file(hub, training_output, crash):
    """Also with the client's debug log, hf_xet's own, and a traceback of an error that nobody foresaw."""
    env = hub.env("xet") | {"HF_DEBUG": "1", "RUST_LOG": "debug", "LF_REGISTRY_TRACEBACK": "1"}
    code = CRASH if crash else COMMAND[2]
    command = [COMMAND[0], "-c", code, "publish", str(training_output), "tester/m"]
    done = subprocess.run(command, env=env, capture_output=True, check=False, timeout=300)
    assert done.returncode == int(crash), done.stderr
    assert (b"Traceback" in done.stderr) == crash and b"curl -X" in done.stderr, "the debug log was on"
    written = [path for path in hub.state.folder.joinpath("home").rglob("*") if path.is_file()]
    logs = [path for path in written if path.suffix == ".log"]
    assert crash or logs, "hf_xet writes a log"
    secret = hub.token.encode()
    assert secret not in done.stdout + done.stderr
    assert [path for path in written if secret in path.read_bytes()] == []
    assert not hub.leaks()


def test_the_token_of_the_environment_is_not_published(hub, publish_here, adapter_copy):
    """A tool wrote the token into a file that goes up: found, although it is in a field of its own."""
    (adapter_copy / "trainer_state.json").write_text(json.dumps({"hub_token": hub.token, "log_history": []}))
    with pytest.raises(UserError) as caught:
        publish_here(adapter_copy)
    assert hub.token not in str(caught.value) and "trainer_state.json" in str(caught.value) and hub.calls == []
