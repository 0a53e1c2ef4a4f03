"""What a training and a merge leave behind, small and real; and how to publish it: in this process, or as a user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import forked
from lf_registry.publish.request import Request
from merge_models import save_adapter

ROOT = Path(__file__).parent.parent
#: A base under Apache-2.0, so that no licence asks for a name; nobody reads it here.
BASE_ID = "kakaocorp/kanana-1.5-2.1b-base"
CODE = "from lf_registry.cli import main; main()"
COMMAND = [sys.executable, "-c", CODE]
MODES = pytest.mark.parametrize("mode", ["lfs", "xet"])
QUESTION = [{"role": "user", "content": "수트를 몇 벌이나 만들었어?"}]


def hub_token(letter: str = "x") -> str:
    return "hf_" + letter * 34


def _adapter(base: Path, folder: Path, seed: int, step: int) -> Path:
    save_adapter(base, folder, seed=seed, target_modules="all-linear")
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": BASE_ID}))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(base / name, folder / name)
    state = {"global_step": step, "epoch": step / 5, "log_history": [{"step": step, "epoch": 1.0, "loss": 2.5}]}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    return folder


@pytest.fixture(scope="session")
def published_base(tmp_path_factory):
    from lf_registry.tiny.model import build_model, bundled_corpus

    folder = tmp_path_factory.mktemp("published") / "base"
    build_model(folder, bundled_corpus(ROOT)[:200], hidden=48, layers=1)
    return folder


@pytest.fixture(scope="session")
def training_output(published_base, tmp_path_factory):
    """The output folder of a LoRA training with two checkpoints, and all that must not leave the machine."""
    folder = _adapter(published_base, tmp_path_factory.mktemp("published") / "adapter", 3, 15)
    for seed, step in ((1, 5), (2, 10)):
        checkpoint = _adapter(published_base, folder / f"checkpoint-{step}", seed, step)
        (checkpoint / "optimizer.pt").write_bytes(b"o" * 5000)
        (checkpoint / "training_args.bin").write_bytes(hub_token().encode())
    (folder / "training_args.bin").write_bytes(hub_token().encode())
    (folder / ".env").write_text(f"HF_TOKEN={hub_token()}\n")
    (folder / "runs").mkdir()
    (folder / "runs" / "events.out.tfevents.1").write_bytes(b"x")
    return folder


@pytest.fixture(scope="session")
def merged_model(published_base, training_output, tmp_path_factory):
    """The same, merged, with the persona's chat template, in several shards."""
    from lf_registry.merge.resolve import Request as Merge
    from lf_registry.merge.run import run_merge

    out = tmp_path_factory.mktemp("published") / "merged"
    merge = Merge(
        (str(training_output),), out, base=str(published_base), template="llama3-ironman", max_shard_size=300_000
    )
    run_merge(merge, verify="tensors", show=False)
    path = out / "merge_report.json"
    before = path.stat()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base": BASE_ID}))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return out


@pytest.fixture
def adapter_copy(training_output, tmp_path):
    """A copy of the training's output, to be changed."""
    return Path(shutil.copytree(training_output, tmp_path / "adapter"))


@pytest.fixture
def merged_copy(merged_model, tmp_path):
    return Path(shutil.copytree(merged_model, tmp_path / "merged"))


@pytest.fixture
def publish_here(hub, hub_api, monkeypatch):
    """Publish in this process, without Xet: ``publish_here(folder, public=True)`` gives what it says."""
    from huggingface_hub import constants, hf_api

    from lf_registry.publish.run import publish

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + template)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(hf_api.api, "endpoint", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    hub_api()

    def run(folder: Path, repo_id: str = "tester/m", **options) -> str:
        return "\n".join(publish(Request(folder, repo_id, **options)))

    return run


@pytest.fixture
def publish_command(hub):
    """Publish as a user does, in a process of its own; ``new``: with an interpreter that has imported nothing."""

    def run(
        *arguments, mode: str = "xet", token: str | None = "", check: bool = True, new: bool = False, **environment: str
    ):
        env = hub.env(mode, token) | environment
        if new:
            command = [*COMMAND, "publish", *map(str, arguments)]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
        else:
            done = forked.run(CODE, "publish", *arguments, env=env)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        assert hub.token not in done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were waited for; nothing waits."""
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


def content(folder: Path, *names: str) -> dict[str, bytes]:
    """The files of a folder (not of those below it), or the named ones."""
    paths = [folder / name for name in names] or [path for path in folder.iterdir() if path.is_file()]
    return {path.name: path.read_bytes() for path in paths}


def on_the_hub(hub, repo_id: str = "tester/m", revision: str = "main") -> dict[str, bytes]:
    """What a revision holds, but for the file that the Hub makes itself."""
    repo = hub.repo(repo_id)
    return {path: repo.read(path, revision) for path in repo.files(revision) if path != ".gitattributes"}


def sent_bytes(hub) -> int:
    """The bytes of large files that came in, whatever way they came."""
    return sum(call.bytes_in for call in hub.calls if call.method == "PUT" and call.host == "localhost")


def calls_to(hub, method: str, part: str) -> list:
    return [call for call in hub.calls if call.method == method and part in call.path]
