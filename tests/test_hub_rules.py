"""The loopback Hub refuses what the real one refuses: tokens, names that are not there, cards."""

from __future__ import annotations

import json
import re
from base64 import b64encode

import pytest
from huggingface_hub import CommitOperationAdd, get_session
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import hf_raise_for_status

from hub.auth import scope


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
        ("base_model: /workspace/models/base", '"base_model" with value "/workspace/models/base"'),
        ("datasets: [data/train/a.json]", '"datasets"'),
        ("language: Korean", '"language"'),
        ("base_model_relation: lora", '"base_model_relation"'),
        ("tags: llama-factory", '"tags" must be an array'),
        ("model-index: [{results: []}]", '"model-index[0].name"'),
        ("model-index: [{name: a}]", '"model-index[0].results"'),
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
