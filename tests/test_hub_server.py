"""The loopback Hub does what the real one does, as far as the real client can tell."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, get_session
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import hf_raise_for_status, http_backoff

from hub.auth import scope
from hub.xet_formats import hash_text

MODES = pytest.mark.parametrize("mode", ["lfs", "xet"])
CARD = "---\nlicense: apache-2.0\nlanguage: ko\n---\n# 이름\n"
CREATE = "api.create_repo('tester/m', private=True, exist_ok=True)\n"
UPLOAD = CREATE + "print(api.upload_folder(repo_id='tester/m', folder_path=args[0]).oid)\n"
DOWNLOAD = "from huggingface_hub import snapshot_download\nsnapshot_download('tester/m', local_dir=args[1])\n"


@pytest.fixture
def model(tmp_path):
    """A folder of the files a model has: texts, and weights that come in several parts."""
    folder = tmp_path / "model"
    (folder / "plots").mkdir(parents=True)
    (folder / "README.md").write_text(CARD, "utf-8")
    (folder / "config.json").write_text('{"model_type": "llama"}', "utf-8")
    (folder / "empty.txt").touch()
    (folder / "model-00001-of-00002.safetensors").write_bytes(os.urandom(700_000))
    (folder / "model-00002-of-00002.safetensors").write_bytes(os.urandom(100))
    (folder / "plots" / "loss.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0" + os.urandom(50))
    return folder


@pytest.fixture
def hub(hub):
    hub.settings.chunk_size = 300_000
    return hub


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parts[len(folder.parts)] not in (".cache", ".gitattributes")
    }


def succeeded(run):
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def calls(hub, method, part):
    return [call for call in hub.calls if call.method == method and part in call.path]


def large_bytes(hub):
    """The bytes of large files that came in, whatever way they came."""
    return sum(call.bytes_in for call in hub.calls if call.method == "PUT" and call.host == "localhost")


@MODES
def test_what_is_uploaded_is_what_is_downloaded(hub, model, tmp_path, mode):
    commit = succeeded(hub.run(UPLOAD + DOWNLOAD, model, tmp_path / "out", mode=mode))
    assert contents(tmp_path / "out") == contents(model)

    repo = hub.repo("tester/m")
    assert repo.private and repo.branches == {"main": commit}
    assert [entry.title for entry in repo.history()] == ["Upload folder using huggingface_hub", "initial commit"]
    assert {path: repo.read(path) for path in contents(model)} == contents(model)
    large = {path for path, entry in repo.files().items() if entry.lfs}
    assert large == {*map("model-0000{}-of-00002.safetensors".format, (1, 2)), "plots/loss.png"}
    assert {path for path, entry in repo.files().items() if entry.xet_hash} == (large if mode == "xet" else set())
    sent = {call.path.split("/")[1] for call in hub.to_storage() if call.method == "PUT"}
    assert sent == ({"xorb-upload"} if mode == "xet" else {"storage", "storage-part"})
    assert not hub.leaks()
    assert all(call.authorization != f"Bearer {hub.token}" for call in hub.to_storage())


def test_what_came_through_xet_can_be_read_without(hub, model, tmp_path):
    succeeded(hub.run(UPLOAD, model, mode="xet"))
    succeeded(hub.run(DOWNLOAD, "", tmp_path / "out", mode="lfs"))
    assert contents(tmp_path / "out") == contents(model)


def test_xet_stores_in_a_folder_too(hub, model, tmp_path):
    hub.settings.xet = "local"
    succeeded(hub.run(UPLOAD, model, mode="xet"))
    assert not [call for call in hub.to_storage() if call.method == "PUT"]
    for mode in ("xet", "lfs"):
        succeeded(hub.run(DOWNLOAD, "", tmp_path / mode, mode=mode))
        assert contents(tmp_path / mode) == contents(model)


@MODES
def test_files_that_are_there_are_not_sent_again(hub, model, mode):
    first = succeeded(hub.run(UPLOAD, model, mode=mode))
    sent = large_bytes(hub)
    assert succeeded(hub.run(UPLOAD, model, mode=mode)) == first  # nothing new: no commit
    (model / "config.json").write_text("{}", "utf-8")
    assert succeeded(hub.run(UPLOAD, model, mode=mode)) != first
    assert large_bytes(hub) == sent
    assert [call.body.count(b'"key"') for call in calls(hub, "POST", "/commit/")][1:] == [2]  # the header, one file


@pytest.fixture
def published(hub, hub_api, model):
    """The model, in ``tester/m``, and a client."""
    api = hub_api()
    api.create_repo("tester/m", private=True)
    api.upload_folder(repo_id="tester/m", folder_path=model)
    return api


def test_branches_tags_and_settings(hub, published, tmp_path):
    api = published
    api.create_branch("tester/m", branch="step/10")
    api.upload_file(repo_id="tester/m", path_in_repo="new/a b.txt", path_or_fileobj=b"x", revision="step/10")
    api.create_tag("tester/m", tag="v1", revision="step/10")
    api.delete_file("config.json", "tester/m")
    refs = api.list_repo_refs("tester/m")
    assert ([ref.name for ref in refs.branches], [ref.name for ref in refs.tags]) == (["main", "step/10"], ["v1"])
    found = api.hf_hub_download("tester/m", "new/a b.txt", revision="v1", local_dir=tmp_path / "out")
    assert Path(found).read_bytes() == b"x"
    assert len(api.list_repo_commits("tester/m", revision="step/10")) == 3
    assert [i.path for i in api.get_paths_info("tester/m", ["new", "config.json", "no"], revision="v1")] == [
        "config.json",
        "new",
    ]
    assert {"config.json", "new/a b.txt"}.isdisjoint(hub.repo("tester/m").files())
    for private in (False, True):
        api.update_repo_settings("tester/m", private=private)
        assert hub.repo("tester/m").private is api.model_info("tester/m", revision="v1").private is private
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag("tester/m", tag="v1")
    api.delete_tag("tester/m", tag="v1")
    api.delete_branch("tester/m", branch="step/10")
    assert (list(hub.repo("tester/m").branches), hub.repo("tester/m").tags) == (["main"], {})
    head = hub.repo("tester/m").at().parent
    with pytest.raises(HfHubHTTPError, match="412"):
        api.upload_file(repo_id="tester/m", path_in_repo="a", path_or_fileobj=b"x", parent_commit=head)
    api.delete_repo("tester/m")
    assert not api.repo_exists("tester/m")


def test_a_part_of_a_file(hub, published, model):
    for path in ("config.json", "model-00001-of-00002.safetensors"):
        answer = httpx.get(
            f"{hub.endpoint}/tester/m/resolve/main/{path}",
            headers={"range": "bytes=2-9", "authorization": f"Bearer {hub.token}"},
            follow_redirects=True,
        )
        assert (answer.status_code, answer.content) == (206, (model / path).read_bytes()[2:10])


def test_lists_come_in_pages(hub, published, model):
    hub.settings.page_size = 2
    everything = sorted([*contents(model), ".gitattributes", "plots"])
    assert [i.path for i in published.list_repo_tree("tester/m", recursive=True)] == everything
    assert [i.path for i in published.list_repo_tree("tester/m")] == [path for path in everything if "/" not in path]
    assert len(calls(hub, "GET", "/tree/")) == 4 + 4


def test_the_tree_tells_sizes_and_hashes(published, model):
    tree = {entry.path: entry for entry in published.list_repo_tree("tester/m", recursive=True)}
    weights = tree["model-00001-of-00002.safetensors"]
    content = (model / weights.path).read_bytes()
    assert (weights.size, weights.lfs.size, weights.lfs.sha256) == (700_000, 700_000, sha256(content).hexdigest())
    hashed = subprocess.run(["git", "hash-object", model / "config.json"], capture_output=True, text=True, check=True)
    config = tree["config.json"]
    assert (config.size, config.blob_id, config.lfs) == (23, hashed.stdout.strip(), None)


def test_xet_hashes_are_written_as_numbers():
    # the example of https://huggingface.co/docs/xet/api
    assert hash_text(bytes(range(32))) == "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"


def write_check(api):
    api.auth_check("tester/m", write=True)


def read_check(api):
    api.auth_check("tester/m")


def create(namespace):
    return lambda api: api.create_repo(f"{namespace}/new")


def fine(kind, name, *permissions):
    return {"scoped": (scope(kind, name, *permissions),)}


@pytest.mark.parametrize(
    ("role", "options", "act", "complaint"),
    [
        ("write", {}, write_check, None),
        ("write", {}, create("tester"), None),
        ("write", {}, create("lab"), None),
        ("write", {}, create("watchers"), "403 Forbidden"),
        ("write", {}, create("nobody"), "403 Forbidden"),
        ("write", {"user": "stranger"}, read_check, "Repository Not Found"),
        ("write", {"expired": True}, lambda api: api.whoami(), "Invalid user token"),
        ("write", {"expired": True}, read_check, "expired"),
        ("read", {}, read_check, None),
        ("read", {}, write_check, "403 Forbidden"),
        ("read", {}, create("tester"), "403 Forbidden"),
        ("fineGrained", fine("user", "tester", "repo.write"), create("tester"), None),
        ("fineGrained", fine("org", "lab", "repo.write"), create("lab"), None),
        ("fineGrained", fine("org", "lab", "repo.write"), create("tester"), "403 Forbidden"),
        ("fineGrained", fine("model", "tester/m", "repo.write"), write_check, None),
        ("fineGrained", fine("model", "tester/m", "repo.write"), create("tester"), "403 Forbidden"),
        ("fineGrained", fine("user", "tester", "repo.content.read"), read_check, None),
        ("fineGrained", fine("user", "tester", "repo.content.read"), write_check, "403 Forbidden"),
        (None, {}, read_check, "Repository Not Found"),
        (None, {}, create("tester"), "401"),
    ],
)
def test_tokens_and_what_they_may_do(hub, hub_api, role, options, act, complaint):
    hub.state.create("tester/m", private=True, author="tester")
    api = hub_api(hub.new_token(role, **options) if role else False)
    if complaint:
        with pytest.raises(HfHubHTTPError, match=complaint):
            act(api)
    else:
        act(api)
    if role and not options.get("expired"):
        token = api.whoami()["auth"]["accessToken"]
        assert token["role"] == role and token.get("fineGrained", {}).get("scoped", []) == [*options.get("scoped", ())]


def test_what_is_not_there(hub, hub_api):
    hub.state.create("tester/m", private=False, author="tester")
    api = hub_api()
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("tester/no")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("tester/m", revision="no")
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download("tester/m", "no.txt", cache_dir=hub.state.folder)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("tester/m")
    assert api.create_repo("tester/m", exist_ok=True).repo_id == "tester/m"
    with pytest.raises(BadRequestError, match="does not exist"):
        operation = CommitOperationAdd("a.bin", b"never uploaded")
        operation._upload_mode, operation._is_uploaded = "lfs", True
        api.create_commit("tester/m", [operation], commit_message="a")


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ("license: [", "YAML Metadata Error"),
        ("- a list", "mapping"),
        ("license: apache2", '"license" with value "apache2"'),
        ("license: other", '"license_name" is required'),
        ("base_model: /root/models/base", '"base_model" with value "/root/models/base"'),
        ("datasets: [data/train/a.json]", '"datasets"'),
        ("language: Korean", '"language"'),
        ("base_model_relation: lora", '"base_model_relation"'),
        ("tags: llama-factory", '"tags" must be an array'),
        ("model-index: [{results: []}]", '"model-index[0].name"'),
    ],
)
def test_a_bad_card_is_refused(hub, hub_api, tmp_path, metadata, complaint):
    api, text = hub_api(), f"---\n{metadata}\n---\n"
    (tmp_path / "README.md").write_text(text, "utf-8")
    api.create_repo("tester/m")
    with pytest.raises(ValueError, match=re.escape(complaint)):
        api.upload_folder(repo_id="tester/m", folder_path=tmp_path)
    with pytest.raises(BadRequestError, match="Invalid metadata"):  # and where nobody asked first
        commit_blindly(api, text)
    assert list(hub.repo("tester/m").files()) == [".gitattributes"]


def commit_blindly(api, text):
    line = {"key": "file", "value": {"content": b64encode(text.encode()).decode(), "path": "README.md"}}
    lines = "\n".join(map(json.dumps, [{"key": "header", "value": {"summary": "a"}}, line]))
    url = f"{api.endpoint}/api/models/tester/m/commit/main"
    hf_raise_for_status(get_session().post(url, content=lines, headers=api._build_hf_headers()))


# Faults.


@pytest.mark.parametrize("header", ["ratelimit", "retry-after"])
def test_a_rate_limit_is_waited_for(hub, hub_api, monkeypatch, header):
    hub.state.create("tester/m", private=False, author="tester")
    fault = hub.faults.status(429, wait=7, header=header, path="/api/models/tester/m")
    hub_api()
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    assert http_backoff("GET", f"{hub.endpoint}/api/models/tester/m").status_code == 200
    assert waits == [8] and fault.hits == 1  # the client adds a second
    assert [call.status for call in hub.calls] == [429, 200]


@MODES
def test_a_status_strikes_the_calls_it_was_set_for(hub, model, mode):
    fault = hub.faults.status(503, method="POST", path="/preupload/", after=1, times=2)
    commits = [succeeded(hub.run(UPLOAD, model, mode=mode)) for _ in range(2)]
    assert commits[0] == commits[1] and (fault.seen, fault.hits) == (4, 2)
    assert [call.status for call in calls(hub, "POST", "/preupload/")] == [200, 503, 503, 200]


def test_a_fault_can_last_and_be_taken_back(hub, hub_api):
    api = hub_api()
    hub.faults.status(500, path="/create", times=None)
    for _ in range(3):
        with pytest.raises(HfHubHTTPError, match="500"):
            api.create_repo("tester/m")
    hub.faults.clear()
    api.create_repo("tester/m")


@pytest.mark.parametrize(("mode", "path"), [("lfs", "/storage-part/"), ("lfs", "/storage/"), ("xet", "/xorb-upload/")])
def test_a_reset_in_a_put_leaves_nothing_and_the_client_sends_it_again(hub, model, mode, path):
    fault = hub.faults.reset(method="PUT", path=path, when="body", at=60)
    succeeded(hub.run(UPLOAD, model, mode=mode))
    assert fault.hits == 1
    (broken,) = [call for call in hub.calls if call.fault]
    assert broken.status is None and broken.bytes_in >= 60
    assert {path: hub.repo("tester/m").read(path) for path in contents(model)} == contents(model)
    assert not list(hub.state.store.folder.glob("*.part"))


def test_a_reset_before_a_call_and_after_it_differ(hub, hub_api):
    hub.faults.reset(path="/api/repos/create", when="before")
    hub.faults.reset(path="/api/repos/create", when="answer", after=1)
    for done in ([], ["tester/m"]):
        with pytest.raises(httpx.TransportError):
            hub_api().create_repo("tester/m")
        assert list(hub.state.repos) == done
    assert all(call.status is None for call in hub.calls)


def test_a_commit_can_be_done_and_answered_with_an_error(hub, hub_api, model):
    api = hub_api()
    api.create_repo("tester/m")
    hub.faults.status(504, path="/commit/", when="answer")
    with pytest.raises(HfHubHTTPError, match="504"):
        api.upload_folder(repo_id="tester/m", folder_path=model)
    assert set(contents(model)) < set(hub.repo("tester/m").files())
    api.upload_folder(repo_id="tester/m", folder_path=model)
    assert len(hub.repo("tester/m").history()) == 2


def test_a_slow_put_takes_its_time(hub, hub_api, model):
    hub.faults.slow(1_000_000, path="/storage-part/")
    begin = time.monotonic()
    hub_api().create_repo("tester/m")
    hub_api().upload_folder(repo_id="tester/m", folder_path=model)
    assert time.monotonic() - begin > 0.7


@pytest.mark.parametrize(("mode", "path"), [("lfs", "/storage-part/"), ("xet", "/xorb-upload/"), ("xet", "/commit/")])
def test_the_client_can_be_killed_at_a_call_and_the_server_lives_on(hub, model, tmp_path, mode, path):
    log = (tmp_path / "log").open("w")
    victim: list[subprocess.Popen] = []
    hub.faults.run(lambda call: victim[0].kill(), path=path, method="PUT|POST")
    victim.append(
        subprocess.Popen(hub.command(UPLOAD, str(model)), env=hub.env(mode), stdout=log, stderr=subprocess.STDOUT)
    )
    assert victim[0].wait(timeout=60) == -signal.SIGKILL
    succeeded(hub.run(UPLOAD + DOWNLOAD, model, tmp_path / "out", mode=mode))
    assert contents(tmp_path / "out") == contents(model)


@MODES
def test_two_clients_at_once(hub, model, tmp_path, mode):
    runs = [
        subprocess.Popen(
            hub.command(UPLOAD, str(model)),
            env=hub.env(mode),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for run in runs:
        error = run.communicate(timeout=120)[1]
        assert run.returncode == 0, error
    succeeded(hub.run(DOWNLOAD, "", tmp_path / "out", mode=mode))
    assert contents(tmp_path / "out") == contents(model)


def test_a_leak_is_noticed(hub):
    hub.state.create("tester/m", private=False, author="tester")
    httpx.get(f"{hub.storage}/xorb/a", headers={"x-thing": hub.token})
    httpx.get(f"{hub.endpoint}/api/models/tester/m", params={"t": hub.token})
    httpx.post(f"{hub.endpoint}/api/validate-yaml", json={"content": hub.token})
    httpx.get(f"{hub.endpoint}/api/models/tester/m", headers={"authorization": f"Bearer {hub.token}"})
    assert [call.token for call in hub.leaks()] == [{"headers"}, {"address"}, {"body"}]
