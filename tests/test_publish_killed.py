"""A publication that is stopped at any moment, and run again: complete, equal. LF_REGISTRY_SOAK: how many kills."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

import forked
from publish_folders import CODE, MODES, content, on_the_hub, sent_bytes

SOAK = "LF_REGISTRY_SOAK" in os.environ
KILLS = int(os.environ.get("LF_REGISTRY_SOAK", "3"))
#: A file of this many bytes is sent in parts when Xet is off.
CHUNK = 150_000
#: Seconds.
TOO_LONG = 120


@pytest.fixture
def hub(hub):
    hub.settings.chunk_size = CHUNK
    return hub


def start(hub, folder: Path, mode: str) -> forked.Forked:
    return forked.start(CODE, "publish", folder, "tester/m", "--tag", "v1", "--public", env=hub.env(mode))


def sent_twice(hub) -> list[str]:
    """What was sent again although the storage had answered that it is there: files, parts of files, blocks of Xet.

    Without Xet the protocol's unit is the file: the parts of one that was not finished are sent again.
    """
    done: Counter[str] = Counter()
    again = []
    for call in hub.calls:
        part = re.match(r"/storage-part/\w+/\d+$", call.path)
        whole = re.match(r"/storage/tester/m/\w+$|/api/complete-multipart/tester/m/\w+/(?P<file>\w+)$", call.path)
        block = re.match(r"/v1/xorb-commits/\w+/(?P<file>\w+)/grant/", call.path)
        if match := part or whole or block:
            name = match.groupdict().get("file") or call.path
            again += [name] if done[name] else []
            done[name] += call.status == 200
    return again


def whole(hub, folder: Path) -> bool:
    """Whether every file of the folder is on the main branch."""
    repo = hub.state.repos.get("tester/m")
    return repo is not None and set(content(folder)) <= set(repo.files())


@MODES
def test_killed_at_random_moments_and_run_again(hub_server, merged_model, tmp_path_factory, capsys, mode):
    """Killed a random time after a random call; at most four kills for each publication, each on a new Hub."""
    source = random.Random(f"{mode} {KILLS}")
    left, rows = KILLS, []
    while left > 0:
        hub = hub_server.fresh(tmp_path_factory.mktemp("hub"))
        hub.settings.chunk_size = CHUNK
        # In the soak the first one is not killed: what it sends is what has to be sent.
        kills = min(left, 4) if rows or not SOAK else 0
        killed, runs = killed_and_finished(hub, merged_model, mode, source, kills)
        left -= killed
        rows.append((killed, runs, sent_bytes(hub), sent_bytes(hub) - (rows or [(0, 0, sent_bytes(hub))])[0][2]))
    if SOAK:
        with capsys.disabled():
            print(f"\n{mode:6}" + "".join(f"{head:>14}" for head in ("kills", "runs", "bytes sent", "of them again")))
            for number, row in enumerate(rows):
                print(f"{number:<6}" + "".join(f"{value:14,}" for value in row))
            print("all   " + "".join(f"{sum(column):14,}" for column in zip(*rows, strict=True)))


def killed_and_finished(hub, folder: Path, mode: str, source: random.Random, kills: int) -> tuple[int, int]:
    """Kill a publication up to ``kills`` times, let it finish, and look at what there is.

    Returns how often it died, and how often it ran.
    """
    shown: list[bool] = []
    hub.faults.run(lambda call: shown.append(whole(hub, folder)), path="/tag/|/settings$", method="P.*", times=None)
    hub.faults.slow(2_000_000, host="localhost")
    killed = runs = 0
    for _ in range(kills):
        victim: list[forked.Forked] = []
        wait = source.random() * 0.3

        def kill(call, victim=victim, wait=wait):
            threading.Timer(wait, victim[0].kill).start()

        rule = hub.faults.run(kill, after=source.randrange(2, 22))
        victim.append(start(hub, folder, mode))
        victim[0].communicate(timeout=TOO_LONG)
        runs += 1
        hub.faults.rules.remove(rule)
        if victim[0].returncode == 0:  # it was quicker
            break
        assert victim[0].returncode == -signal.SIGKILL
        killed += 1
        # The server may still work on what the dead client has sent: first what may be so, then what must be so.
        assert not hub.state.repos or on_the_hub(hub) == {} or whole(hub, folder), "complete, or nothing of it"
        assert not hub.state.repos or hub.repo("tester/m").private or whole(hub, folder)
    last = start(hub, folder, mode)
    out, error = last.communicate(timeout=120)
    assert last.returncode == 0, error
    assert f"verified: size and hash of {len(content(folder)) + 1} files" in out
    repo, files = hub.repo("tester/m"), on_the_hub(hub)
    assert {name for name, data in content(folder).items() if files[name] != data} == {"merge_report.json"}
    assert repo.tags == {"v1": repo.branches["main"]} and not repo.private
    assert [commit.title for commit in repo.history()] == ["Upload model with lf-registry", "initial commit"]
    assert shown and all(shown), "neither tagged nor shown before it was there"
    assert sent_twice(hub) == []
    total = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert sent_bytes(hub) <= total * (1 + killed), "at most what was under way at each kill came again"
    assert not hub.leaks()
    return killed, runs + 1


@MODES
def test_what_was_sent_before_a_kill_is_not_sent_again(hub, merged_model, mode):
    """Killed at the commit, when all of it is there: the next run sends not one byte of the weights."""
    victim: list[forked.Forked] = []
    hub.faults.add(run=lambda call: victim[0].kill(), reset=True, path="/commit/", method="POST")
    victim.append(start(hub, merged_model, mode))
    victim[0].communicate(timeout=120)
    assert victim[0].returncode == -signal.SIGKILL and on_the_hub(hub) == {}
    before = sent_bytes(hub)
    assert before > 0.9 * sum(path.stat().st_size for path in merged_model.glob("*.safetensors"))
    done = start(hub, merged_model, mode)
    _, error = done.communicate(timeout=120)
    assert done.returncode == 0, error
    assert sent_bytes(hub) == before


@MODES
def test_ctrl_c(hub, merged_model, mode):
    """It ends, although what is being sent would take far longer than is waited for here."""
    victim: list[forked.Forked] = []
    path = "/xorb-upload/" if mode == "xet" else "/storage"
    hub.faults.slow(CHUNK / (10 * TOO_LONG), path=path)

    def stop(call):
        victim[0].send_signal(signal.SIGINT)

    hub.faults.run(stop, path=path, method="PUT")
    victim.append(start(hub, merged_model, mode))
    _, error = victim[0].communicate(timeout=TOO_LONG)
    assert victim[0].returncode == 130, error
    assert error.splitlines() == [
        "error: stopped; nothing is public or tagged that was not verified",
        "  next: run the same command again: it goes on where this one stopped",
    ]
    assert on_the_hub(hub) == {} and hub.repo("tester/m").private
    hub.faults.clear()
    done = start(hub, merged_model, mode)
    _, error = done.communicate(timeout=120)
    assert done.returncode == 0 and whole(hub, merged_model), error
