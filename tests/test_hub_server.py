"""The loopback Hub does what the real one does, as far as the real client can tell."""

from __future__ import annotations

import subprocess
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError

from hub.samples import CREATE, DOWNLOAD, MODES, UPLOAD, calls, contents, large_bytes, succeeded
from hub.xet_formats import hash_text


@MODES
def test_what_is_uploaded_is_what_is_downloaded(hub, hub_folder, tmp_path, mode):
    commit = succeeded(hub.run(UPLOAD + DOWNLOAD, hub_folder, tmp_path / "out", mode=mode))
    assert contents(tmp_path / "out") == contents(hub_folder)

    repo = hub.repo("tester/m")
    assert repo.private and repo.branches == {"main": commit}
    assert [entry.title for entry in repo.history()] == ["Upload folder using huggingface_hub", "initial commit"]
    assert {path: repo.read(path) for path in contents(hub_folder)} == contents(hub_folder)
    large = {path for path, entry in repo.files().items() if entry.lfs}
    assert large == {*map("model-0000{}-of-00002.safetensors".format, (1, 2)), "plots/loss.png"}
    assert {path for path, entry in repo.files().items() if entry.xet_hash} == (large if mode == "xet" else set())
    sent = {call.path.split("/")[1] for call in hub.to_storage() if call.method == "PUT"}
    assert sent == ({"xorb-upload"} if mode == "xet" else {"storage", "storage-part"})
    assert not hub.leaks()
    assert all(call.authorization != f"Bearer {hub.token}" for call in hub.to_storage())


def test_what_came_through_xet_can_be_read_without(hub, hub_api, hub_folder, tmp_path):
    succeeded(hub.run(UPLOAD, hub_folder, mode="xet"))
    hub_api().snapshot_download("tester/m", local_dir=tmp_path / "out")
    assert contents(tmp_path / "out") == contents(hub_folder)


def test_xet_stores_in_a_folder_too(hub, hub_folder, tmp_path):
    hub.settings.xet = "local"
    succeeded(hub.run(UPLOAD + DOWNLOAD, hub_folder, tmp_path / "out", mode="xet"))
    assert contents(tmp_path / "out") == contents(hub_folder)
    assert not [call for call in hub.to_storage() if call.method == "PUT"]
    assert {path: hub.repo("tester/m").read(path) for path in contents(hub_folder)} == contents(hub_folder)


AGAIN = f"""
{CREATE}
from pathlib import Path
def upload(): return api.upload_folder(repo_id='tester/m', folder_path=args[0]).oid
first, second = upload(), upload()
Path(args[0], 'config.json').write_text('{{}}')
print(first == second, first == upload())
"""


@MODES
def test_files_that_are_there_are_not_sent_again(hub, hub_folder, mode):
    assert succeeded(hub.run(AGAIN, hub_folder, mode=mode)) == "True False"  # nothing new: no commit
    sizes = [path.stat().st_size for path in hub_folder.rglob("*.*") if path.suffix in (".safetensors", ".png")]
    assert sum(sizes) <= large_bytes(hub) < sum(sizes) + 1000
    assert [call.body.count(b'"key"') for call in calls(hub, "POST", "/commit/")] == [7, 2]  # a header, and the files


def test_branches_tags_and_settings(hub, hub_published, tmp_path):
    api = hub_published
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


def test_a_part_of_a_file(hub, hub_published, hub_folder):
    for path in ("config.json", "model-00001-of-00002.safetensors"):
        answer = httpx.get(
            f"{hub.endpoint}/tester/m/resolve/main/{path}",
            headers={"range": "bytes=2-9", "authorization": f"Bearer {hub.token}"},
            follow_redirects=True,
        )
        assert (answer.status_code, answer.content) == (206, (hub_folder / path).read_bytes()[2:10])


def test_lists_come_in_pages(hub, hub_published, hub_folder):
    hub.settings.page_size = 2
    everything = sorted([*contents(hub_folder), ".gitattributes", "plots"])
    assert [i.path for i in hub_published.list_repo_tree("tester/m", recursive=True)] == everything
    assert [i.path for i in hub_published.list_repo_tree("tester/m")] == [
        path for path in everything if "/" not in path
    ]
    assert len(calls(hub, "GET", "/tree/")) == 4 + 4


def test_the_tree_tells_sizes_and_hashes(hub_published, hub_folder):
    tree = {entry.path: entry for entry in hub_published.list_repo_tree("tester/m", recursive=True)}
    weights = tree["model-00001-of-00002.safetensors"]
    content = (hub_folder / weights.path).read_bytes()
    assert (weights.size, weights.lfs.size, weights.lfs.sha256) == (700_000, 700_000, sha256(content).hexdigest())
    hashed = subprocess.run(
        ["git", "hash-object", hub_folder / "config.json"], capture_output=True, text=True, check=True
    )
    config = tree["config.json"]
    assert (config.size, config.blob_id, config.lfs) == (23, hashed.stdout.strip(), None)


def test_xet_hashes_are_written_as_numbers():
    # the example of https://huggingface.co/docs/xet/api
    assert hash_text(bytes(range(32))) == "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
