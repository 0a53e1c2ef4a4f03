"""Faults of the loopback Hub strike where and when a test says."""

from __future__ import annotations

import signal
import time

import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import http_backoff

from hub.samples import DOWNLOAD, MODES, UPLOAD, calls, contents, succeeded


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


def test_a_status_strikes_the_calls_it_was_set_for(hub, hub_published, hub_folder, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    fault = hub.faults.status(503, method="POST", path="/preupload/", after=1, times=2)
    for _ in range(2):
        hub_published.upload_folder(repo_id="tester/m", folder_path=hub_folder)
    assert (fault.seen, fault.hits) == (4, 2)
    assert [call.status for call in calls(hub, "POST", "/preupload/")] == [200, 200, 503, 503, 200]


def test_a_fault_can_last_and_be_taken_back(hub, hub_api):
    api = hub_api()
    hub.faults.status(500, path="/create", times=None)
    for _ in range(3):
        with pytest.raises(HfHubHTTPError, match="500"):
            api.create_repo("tester/m")
    hub.faults.clear()
    api.create_repo("tester/m")


@pytest.mark.parametrize(("mode", "path"), [("lfs", "/storage-part/"), ("lfs", "/storage/"), ("xet", "/xorb-upload/")])
def test_a_reset_in_a_put_leaves_nothing_and_the_client_sends_it_again(hub, hub_folder, mode, path):
    fault = hub.faults.reset(method="PUT", path=path, when="body", at=60)
    succeeded(hub.run(UPLOAD, hub_folder, mode=mode))
    assert fault.hits == 1
    (broken,) = [call for call in hub.calls if call.fault]
    assert broken.status is None and broken.bytes_in >= 60
    assert {path: hub.repo("tester/m").read(path) for path in contents(hub_folder)} == contents(hub_folder)
    assert not list(hub.state.store.folder.glob("*.part"))


def test_a_reset_before_a_call_and_after_it_differ(hub, hub_api):
    hub.faults.reset(path="/api/repos/create", when="before")
    hub.faults.reset(path="/api/repos/create", when="answer", after=1)
    for done in ([], ["tester/m"]):
        with pytest.raises(httpx.TransportError):
            hub_api().create_repo("tester/m")
        assert list(hub.state.repos) == done
    assert all(call.status is None for call in hub.calls)


def test_a_commit_can_be_done_and_answered_with_an_error(hub, hub_api, hub_folder):
    api = hub_api()
    api.create_repo("tester/m")
    hub.faults.status(504, path="/commit/", when="answer")
    with pytest.raises(HfHubHTTPError, match="504"):
        api.upload_folder(repo_id="tester/m", folder_path=hub_folder)
    assert set(contents(hub_folder)) < set(hub.repo("tester/m").files())
    api.upload_folder(repo_id="tester/m", folder_path=hub_folder)
    assert len(hub.repo("tester/m").history()) == 2


def test_a_slow_put_takes_its_time(hub, hub_api, hub_folder):
    hub.faults.slow(1_000_000, path="/storage-part/")
    begin = time.monotonic()
    hub_api().create_repo("tester/m")
    hub_api().upload_folder(repo_id="tester/m", folder_path=hub_folder)
    assert time.monotonic() - begin > 0.7


@pytest.mark.parametrize(("mode", "path"), [("lfs", "/storage-part/"), ("xet", "/xorb-upload/"), ("xet", "/commit/")])
def test_the_client_can_be_killed_at_a_call_and_the_server_lives_on(hub, hub_folder, tmp_path, mode, path):
    victim = []
    hub.faults.run(lambda call: victim[0].kill(), path=path, method="PUT|POST")
    victim.append(hub.start(UPLOAD, hub_folder, mode=mode))
    assert victim[0].wait(timeout=120) == -signal.SIGKILL
    succeeded(hub.run(UPLOAD + DOWNLOAD, hub_folder, tmp_path / "out", mode=mode))
    assert contents(tmp_path / "out") == contents(hub_folder)


@MODES
def test_two_clients_at_once(hub, hub_folder, tmp_path, mode):
    runs = [hub.start(UPLOAD, hub_folder, mode=mode) for _ in range(2)]
    for run in runs:
        error = run.communicate(timeout=120)[1]
        assert run.returncode == 0, error
    succeeded(hub.run(DOWNLOAD, "", tmp_path / "out", mode=mode))
    assert contents(tmp_path / "out") == contents(hub_folder)


def test_a_leak_is_noticed(hub):
    hub.state.create("tester/m", private=False, author="tester")
    httpx.get(f"{hub.storage}/xorb/a", headers={"x-thing": hub.token})
    httpx.get(f"{hub.endpoint}/api/models/tester/m", params={"t": hub.token})
    httpx.post(f"{hub.endpoint}/api/validate-yaml", json={"content": hub.token})
    httpx.get(f"{hub.endpoint}/api/models/tester/m", headers={"authorization": f"Bearer {hub.token}"})
    assert [call.token for call in hub.leaks()] == [{"headers"}, {"address"}, {"body"}]
