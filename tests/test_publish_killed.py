"""A publication that is stopped at any moment and run again ends complete and equal (LF_REGISTRY_SOAK: kills)."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from publish_folders import COMMAND, MODES, content, on_the_hub, sent_bytes

KILLS = int(os.environ.get("LF_REGISTRY_SOAK", "3"))
#: A file of this many bytes is sent in parts when Xet is off.
CHUNK = 300_000


@pytest.fixture
def hub(hub):
    hub.settings.chunk_size = CHUNK
    return hub


@pytest.fixture(scope="module")
def model(published_base, tmp_path_factory):
    """A model in several shards of 0.2 to 1.2 MB, with values that nothing can be saved on by packing."""
    import torch
    from transformers import AutoModelForCausalLM

    from lf_registry.tiny.model import load

    folder = tmp_path_factory.mktemp("killed") / "model"
    model, tokenizer = load(published_base)
    torch.manual_seed(1)
    config = model.config
    config.num_hidden_layers, config.intermediate_size, config.layer_types = 3, 512, None
    model = AutoModelForCausalLM.from_config(type(config).from_dict(config.to_dict()))
    model.save_pretrained(folder, max_shard_size="700KB")
    tokenizer.save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) >= 3
    return folder


def start(hub, folder: Path, mode: str, *more: str) -> subprocess.Popen:
    command = [*COMMAND, "publish", str(folder), "tester/m", "--license", "mit", "--tag", "v1", "--public", *more]
    return subprocess.Popen(command, env=hub.env(mode), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def card(model, tmp_path):
    """A copy of the model with a card that names its base model."""
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    (folder / "README.md").write_text("---\nbase_model: lab/base\nlicense: mit\nlanguage: ko\n---\n# m\n", "utf-8")
    return folder


def sent_twice(hub) -> list[str]:
    """What was sent again although the storage had answered that it is there: files, parts of files, blocks of Xet.

    Without Xet the protocol's unit is the file: the parts of one that was not finished are sent again.
    """
    done: Counter[str] = Counter()
    again = []
    parts: dict[str, set[str]] = {}
    for call in hub.calls:
        if call.method == "PUT" and (match := re.match(r"/storage/tester/m/(\w+)$", call.path)):
            again += [call.path] if done[match[1]] else []
            done[match[1]] += call.status == 200
        elif call.method == "PUT" and (match := re.match(r"/storage-part/(\w+)/(\d+)$", call.path)):
            known = parts.setdefault(match[1], set())
            again += [call.path] if match[2] in known else []
            known |= {match[2]} if call.status == 200 else set()
        elif (match := re.match(r"/api/complete-multipart/tester/m/\w+/(\w+)$", call.path)) or (
            match := re.match(r"/v1/xorb-commits/\w+/(\w+)/grant/", call.path)
        ):
            again += [call.path] if done[match[1]] else []
            done[match[1]] += call.status == 200
    return again


@MODES
def test_killed_at_random_moments_and_run_again(hub, card, mode):
    """Each round is killed at a random call to the Hub or the storage, in the middle of what that call was to do."""
    source = random.Random(f"{mode} {KILLS}")
    shown: list[tuple[bool, bool]] = []

    def verified() -> bool:
        repo = hub.state.repos.get("tester/m")
        return repo is not None and {*content(card)} <= {*repo.files()}

    hub.faults.run(lambda call: shown.append((verified(), "tag")), path="/tag/", method="POST", times=None)
    hub.faults.run(lambda call: shown.append((verified(), "public")), path="/settings", method="PUT", times=None)
    total = sum(path.stat().st_size for path in card.glob("*.safetensors"))
    hub.faults.slow(4_000_000, host="localhost")
    killed = 0
    for _ in range(KILLS):
        victim: list[subprocess.Popen] = []
        rule = hub.faults.run(lambda call, who=victim: who[0].kill(), after=source.randrange(3, 24))
        victim.append(start(hub, card, mode))
        victim[0].communicate(timeout=120)
        hub.faults.rules.remove(rule)
        if victim[0].returncode == 0:
            continue
        assert victim[0].returncode == -signal.SIGKILL
        killed += 1
        repo = hub.state.repos.get("tester/m")
        if repo is not None:
            assert repo.private or verified()
            assert on_the_hub(hub) == {} or verified(), "a revision is complete, or nothing of it is there"
    assert killed
    last = start(hub, card, mode)
    out, error = last.communicate(timeout=120)
    assert last.returncode == 0, error
    assert f"verified: size and hash of {len(content(card))} files" in out
    repo, files = hub.repo("tester/m"), on_the_hub(hub)
    assert {name: files[name] for name in content(card) if name != "README.md"} == {
        name: data for name, data in content(card).items() if name != "README.md"
    }
    assert repo.tags == {"v1": repo.branches["main"]} and not repo.private
    assert [commit.title for commit in repo.history()] == ["Upload model with lf-registry", "initial commit"]
    assert shown and all(state for state, _ in shown), "neither tagged nor shown before it was there"
    assert sent_twice(hub) == []
    assert sent_bytes(hub) <= total * (1 + killed), "at most what was under way at each kill came again"
    assert not hub.leaks()


@MODES
def test_what_was_sent_before_a_kill_is_not_sent_again(hub, card, mode):
    """Killed at the commit, when all of it is there: the next run sends not one byte of the weights."""
    victim: list[subprocess.Popen] = []
    hub.faults.run(lambda call: victim[0].kill(), path="/commit/", method="POST")
    victim.append(start(hub, card, mode))
    victim[0].communicate(timeout=120)
    assert victim[0].returncode == -signal.SIGKILL and on_the_hub(hub) == {}
    before = sent_bytes(hub)
    assert before > 0.9 * sum(path.stat().st_size for path in card.glob("*.safetensors"))
    done = start(hub, card, mode)
    _, error = done.communicate(timeout=120)
    assert done.returncode == 0, error
    assert sent_bytes(hub) == before


@MODES
def test_ctrl_c(hub, card, mode):
    victim: list[subprocess.Popen] = []
    path = "/xorb-upload/" if mode == "xet" else "/storage"
    hub.faults.slow(200_000, path=path)
    hub.faults.run(lambda call: victim[0].send_signal(signal.SIGINT), path=path, method="PUT")
    victim.append(start(hub, card, mode))
    _, error = victim[0].communicate(timeout=60)
    assert victim[0].returncode == 130, error
    assert error.splitlines()[-2:] == [
        "error: stopped; nothing is public or tagged that was not verified",
        "  next: run the same command again: it goes on where this one stopped",
    ]
    assert "Traceback" not in error and on_the_hub(hub) == {} and hub.repo("tester/m").private
    hub.faults.clear()
    done = start(hub, card, mode)
    _, error = done.communicate(timeout=60)
    assert done.returncode == 0, error
