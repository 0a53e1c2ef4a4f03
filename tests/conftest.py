from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(Path(__file__).parent))

pytest_plugins = (
    "broken_recipes",
    "card_folders",
    "compare_models",
    "compare_server",
    "html_page",
    "hub.fixtures",
    "job_runs",
    "merge_models",
    "model_folders",
    "publish_folders",
    "resume_runs",
    "tensor_files",
)

# A shell that starts the tests in the background makes them, and what they start, deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests never reach for a network, and a user's own settings do not change what they see.
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", DO_NOT_TRACK="1")
# DeepSpeed's operators are built once for all tests: with another `ninja` than the environment's they are built anew.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
# Two test processes on two cores: more threads than that only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
for variable in (
    "LF_REGISTRY_PATH",
    "LF_REGISTRY_DISABLE",
    "LF_REGISTRY_TRACEBACK",
    "FORCE_TORCHRUN",
    "NPROC_PER_NODE",
):
    os.environ.pop(variable, None)


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(autouse=True)
def the_process_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that runs in the tests' process ends as an exception: its own quick end would end all tests."""
    monkeypatch.setattr("lf_registry.leave.leave", sys.exit)


@pytest.fixture(scope="session")
def bundled_texts() -> list[str]:
    from lf_registry.tiny.model import bundled_corpus

    return bundled_corpus(ROOT)


@pytest.fixture(scope="session")
def llama3():
    from tokenizers_for_tests import llama3_tokenizer

    return llama3_tokenizer()


@pytest.fixture(scope="session")
def qwen2(bundled_texts):
    from tokenizers_for_tests import qwen2_tokenizer

    return qwen2_tokenizer(bundled_texts)


@pytest.fixture(scope="session")
def sentencepiece(bundled_texts):
    from tokenizers_for_tests import sentencepiece_tokenizer

    return sentencepiece_tokenizer(bundled_texts[:200])


@pytest.fixture
def python():
    """Run code in a fresh interpreter of this environment; returns the finished process."""

    def run(code: str, *, cwd: Path = ROOT, executable: str = sys.executable, **environment: str):
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment
        return subprocess.run([executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def lf(capfd, monkeypatch):
    """Run ``lf-registry`` in this process; returns (exit code, stdout, stderr)."""
    from lf_registry import cli

    # LLaMA-Factory's loggers keep the stream of the test that imported it first, which is closed by then.
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lf-registry", *map(str, arguments)])
        capfd.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return (code, *capfd.readouterr())

    return run


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty user folder to stand in; returns a function that writes a file into it."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, content) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), "utf-8")
        return path

    write.root = tmp_path
    return write


@pytest.fixture(scope="session")
def uv() -> str:
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    assert found, "uv is a development dependency: run the tests through `make test`"
    return found
