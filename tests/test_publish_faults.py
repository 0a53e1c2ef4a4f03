"""What goes wrong at the Hub, on the line and on this machine: waited for, or said in one message; never half of it."""

from __future__ import annotations

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from lf_registry.errors import UserError
from lf_registry.publish.failures import said
from lf_registry.publish.retry import TRIES
from publish_folders import MODES, content, on_the_hub

#: Every call of a publication, as (method, path); the last four go to the storage or come from there.
ENDPOINTS = {
    "whoami": ("GET", "/api/whoami-v2$"),
    "info": ("GET", "/api/models/tester/m$"),
    "create": ("POST", "/api/repos/create$"),
    "auth-check": ("GET", "/auth-check/write$"),
    "refs": ("GET", "/refs$"),
    "branch": ("POST", "/branch/"),
    "revision": ("GET", "/revision/"),
    "tree": ("GET", "/tree/"),
    "card-head": ("HEAD", "/resolve/main/README.md$"),
    "card": ("GET", "/resolve/[0-9a-f]+/README.md$|/resolve/main/README.md$"),
    "preupload": ("POST", "/preupload/"),
    "batch": ("POST", "/objects/batch$"),
    "verify": ("POST", "/lfs/verify$"),
    "multipart": ("POST", "/complete-multipart/"),
    "validate-yaml": ("POST", "/api/validate-yaml$"),
    "commit": ("POST", "/commit/"),
    "tag": ("POST", "/tag/"),
    "settings": ("PUT", "/settings$"),
    "put": ("PUT", "/storage/"),
    "put-part": ("PUT", "/storage-part/"),
}
FAULTS = {
    "429": {"status": 429, "wait": 7},
    "503": {"status": 503, "wait": 9, "header": "retry-after"},
    "reset": {"when": "before"},
    "reset-answer": {"when": "answer"},
}


@pytest.fixture
def parts(hub):
    """Some of the weights are sent in parts, and some are not."""
    hub.settings.chunk_size = 200_000
    return hub


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_failure_that_passes(parts, hub_api, publish_here, waits, training_output, merged_model, endpoint, fault):
    """Once at each endpoint: the publication is complete all the same, and nothing is done twice."""
    hub, (method, path), options = parts, ENDPOINTS[endpoint], FAULTS[fault]
    folder = merged_model
    if endpoint in ("card", "card-head"):
        hub_api().create_repo("tester/m", private=True)
        hub_api().upload_file(repo_id="tester/m", path_in_repo="README.md", path_or_fileobj=b"# by hand\n")
    if endpoint == "branch":
        folder = training_output
    strike = hub.faults.status if "status" in options else hub.faults.reset
    rule = strike(method=method, path=path, **options)
    branch = "try" if endpoint == "revision" else "main"
    options_here = {"revision": branch} if branch != "main" else {}
    publish_here(folder, tag="v1", public=True, checkpoints=folder is training_output, **options_here)
    assert rule.hits == 1
    repo, files = hub.repo("tester/m"), on_the_hub(hub, revision=branch)
    assert set(content(folder)) - set(files) <= {"training_args.bin", ".env"}
    assert all(files[path.name] == path.read_bytes() for path in folder.glob("*.safetensors"))
    assert repo.tags == {"v1": repo.branches[branch]} and not repo.private
    assert [commit.title for commit in repo.history(branch)].count("Upload model with lf-registry") == (
        folder is merged_model
    )
    if "wait" in options and endpoint != "card-head":  # which the client tries a second time at once
        assert set(waits) & {options["wait"], options["wait"] + 1}, "the time that the Hub named"
    if endpoint == "card":
        assert files["README.md"].endswith(b"-->\n") and b"# by hand\n" in files["README.md"]


def test_failures_that_pass_with_xet(hub, publish_command, merged_model):
    """One at each endpoint, in one publication: an answer that says so, or a connection that breaks."""
    rules = [
        *(hub.faults.status(503, path=path) for path in ("/xet-write-token/", "/xorb-commits/", "/commit/main")),
        *(hub.faults.reset(path=path) for path in ("/xorb-grants/", "/v2/shards")),
        hub.faults.reset(method="PUT", path="/xorb-upload/", when="body", at=60),
    ]
    publish_command(merged_model, "tester/m", mode="xet")
    assert [rule.hits for rule in rules] == [1] * len(rules)
    files = on_the_hub(hub)
    assert all(files[path.name] == path.read_bytes() for path in merged_model.glob("*.safetensors"))
    assert len(hub.repo("tester/m").history()) == 2


@pytest.mark.parametrize("endpoint", ["put", "put-part"])
def test_a_connection_that_breaks_in_the_middle_of_a_file(parts, publish_here, waits, merged_model, endpoint):
    method, path = ENDPOINTS[endpoint]
    rule = parts.faults.reset(method=method, path=path, when="body", at=10_000)
    publish_here(merged_model)
    assert rule.hits == 1 and waits
    assert all(on_the_hub(parts)[path.name] == path.read_bytes() for path in merged_model.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [("commit", "committing to tester/m: the Hub answered 503"), ("batch", "files: the Hub answ")],
)
def test_a_failure_that_stays(hub, publish_here, waits, merged_model, capsys, endpoint, words):
    method, path = ENDPOINTS[endpoint]
    hub.faults.status(503, method=method, path=path, times=None)
    with pytest.raises(UserError, match=words) as caught:
        publish_here(merged_model, public=True, tag="v1")
    assert f"{TRIES} times in a row" in str(caught.value) and "goes on where this one stopped" in caught.value.hint
    assert 100 < sum(waits) < 900 and waits[-1] >= waits[0]
    assert f"(try 1 of {TRIES})" in capsys.readouterr().err
    repo = hub.repo("tester/m")
    assert repo.private and repo.tags == {} and on_the_hub(hub) == {}
    hub.faults.clear()
    publish_here(merged_model, public=True, tag="v1")
    assert not repo.private and repo.tags == {"v1": repo.branches["main"]}


def test_a_hub_that_cannot_be_reached(publish_here, waits, merged_model, monkeypatch):
    from huggingface_hub import constants

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(UserError, match="asking whose token this is: the Hub cannot be reached, 4 times in a row"):
            publish_here(merged_model)
    assert len(waits) == 3


@pytest.mark.parametrize(
    ("endpoint", "status", "hint"),
    [
        ("commit", 403, "settings/billing"),
        ("batch", 403, "settings/billing"),
        ("preupload", 401, "hf auth login"),
        ("tree", 404, "renamed or deleted"),
        ("commit", 400, "correct what it says"),
        ("put", 400, "run the same command again"),
    ],
)
def test_a_refusal_is_one_message(hub, publish_here, waits, merged_model, endpoint, status, hint):
    method, path = ENDPOINTS[endpoint]
    rule = hub.faults.status(status, method=method, path=path, times=None)
    with pytest.raises(UserError) as caught:
        publish_here(merged_model, public=True)
    assert f"a fault of the test: {status}" in str(caught.value) and hint in caught.value.hint
    assert "://" not in caught.value.problems[0], "an address may hold a signature"
    assert not waits and rule.hits <= 3 and hub.repo("tester/m").private


@pytest.mark.parametrize("path", ["/xet-write-token/", "/v2/shards"])
def test_a_refusal_with_xet_is_one_message(hub, publish_command, merged_model, path):
    hub.faults.status(403, path=path, times=None)
    done = publish_command(merged_model, "tester/m", mode="xet", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: tester/m: the Hub answered 403" in done.stderr and "settings/billing" in done.stderr
    assert on_the_hub(hub) == {}


def others(hub, **files: bytes):
    """Another publisher's commit, by name and content (``_`` for ``-``)."""
    repo = hub.repo("tester/m")
    entries = {f"{name.replace('_', '-')}.safetensors": value for name, value in files.items()}
    added = {path: hub.state.regular(path, value) for path, value in entries.items()}
    repo.commit("main", "another", "stranger", repo.files() | added)


def test_another_publisher_was_quicker(hub, publish_here, waits, merged_model):
    hub.faults.run(lambda call: others(hub, model_00009_of_00009=b"x"), path="/commit/", method="POST")
    publish_here(merged_model, tag="v1")
    repo = hub.repo("tester/m")
    assert set(on_the_hub(hub)) == {*content(merged_model), "README.md"}, "their shard does not stay beside ours"
    assert [commit.title for commit in repo.history()][1] == "another"
    assert repo.tags == {"v1": repo.branches["main"]}


def test_another_publisher_all_the_time(hub, publish_here, waits, merged_model):
    hub.faults.run(lambda call: others(hub, other=b"x"), path="/commit/", method="POST", times=None)
    with pytest.raises(UserError, match="someone else commits to it all the time"):
        publish_here(merged_model, public=True)
    assert hub.repo("tester/m").private


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_passes(hub, publish_here, waits, merged_model, status):
    hub.faults.status(status, path="/commit/", times=2)
    publish_here(merged_model)
    assert set(on_the_hub(hub)) == {*content(merged_model), "README.md"}


@MODES
def test_two_publishers_at_once(hub, publish_command, training_output, merged_model, mode):
    """The same folder twice, and another one, into one repository: it holds one of them, never parts of both."""
    folders = [merged_model, merged_model, training_output]
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda folder: publish_command(folder, "tester/m", mode=mode), folders))
    assert all("verified:" in one.stdout for one in done)
    names, adapter = set(on_the_hub(hub)) - {"README.md"}, set(content(training_output))
    merged = set(content(merged_model))
    assert names == merged or ("adapter_model.safetensors" in names and not names & (merged - adapter))


@pytest.mark.parametrize("change", ["longer", "shorter", "gone"])
def test_a_file_that_changes_while_it_is_uploaded(hub, publish_here, waits, merged_copy, change):
    (shard, *_) = sorted(merged_copy.glob("*.safetensors"))

    def strike(call):
        if change == "gone":
            shard.unlink(missing_ok=True)
        else:
            shard.write_bytes(shard.read_bytes() + b"x" if change == "longer" else b"x" * 1000)

    hub.faults.run(strike, method="POST", path="/objects/batch$")
    with pytest.raises(UserError, match=f"{shard.name}: changed while"):
        publish_here(merged_copy, public=True, tag="v1")
    repo = hub.repo("tester/m")
    assert on_the_hub(hub) == {} and repo.private and repo.tags == {}


def test_a_file_that_changes_at_the_last_moment(hub, publish_here, waits, merged_copy):
    path = merged_copy / "config.json"
    hub.faults.run(lambda call: path.write_text("{}"), method="POST", path="/commit/")
    with pytest.raises(UserError, match=r"config\.json: changed while"):
        publish_here(merged_copy, public=True, tag="v1")
    assert hub.repo("tester/m").private and hub.repo("tester/m").tags == {}


def test_an_address_in_an_error_is_not_repeated():
    """The storage's addresses are signed: whoever has one may upload."""
    assert said(ValueError("403 for https://storage.example/x?signature=abc")) == "no reason given"
    assert said(ValueError("Too large.\nCannot access https://storage.example/x?signature=abc")) == "Too large."


def test_a_file_that_the_hub_stored_wrongly(hub, publish_here, merged_model):
    """Its hash is compared once more, with what the Hub says that it has; nothing is tagged or public then."""

    def damage(call):
        repo = hub.repo("tester/m")
        commit = repo.at("main")
        if "config.json" in commit.files and "tree" in call.path:
            commit.files["config.json"] = hub.state.regular("config.json", b"{}")
            commit.files.pop("tokenizer.json")

    hub.faults.run(damage, path="/tree/", times=None)
    with pytest.raises(UserError) as caught:
        publish_here(merged_model, public=True, tag="v1")
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["config.json", "tokenizer.json"]
    assert "is not on the Hub" in str(caught.value) and "2 bytes on the Hub" in str(caught.value)
    repo = hub.repo("tester/m")
    assert repo.private and repo.tags == {}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_for_the_staging(hub, publish_command, merged_model, small_disk):
    (small_disk / "fill").write_bytes(b"x" * 16_384)
    done = publish_command(merged_model, "tester/m", "--public", check=False, HF_HOME=str(small_disk))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "the disk is full" in done.stderr and "set HF_HOME to a folder with space" in done.stderr
    assert on_the_hub(hub) == {} and hub.repo("tester/m").private
    publish_command(merged_model, "tester/m", "--public")
    assert all(on_the_hub(hub)[path.name] == path.read_bytes() for path in merged_model.glob("*.safetensors"))


def test_every_endpoint_is_among_them(parts, hub_api, publish_here, training_output, merged_model):
    """What the client calls when nothing fails is what fails above, one after the other."""
    import re

    publish_here(merged_model, tag="v1", public=True, revision="try")
    publish_here(training_output, "tester/other", checkpoints=True)
    publish_here(training_output, "tester/other", card_only=True)
    known = [(method, re.compile(path.replace("tester/m", "tester/(m|other)"))) for method, path in ENDPOINTS.values()]
    unknown = [
        call for call in parts.calls if not any(call.method == m and pattern.search(call.path) for m, pattern in known)
    ]
    assert unknown == []
