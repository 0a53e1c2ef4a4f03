"""The fixtures: ``hub``, a Hub with nothing in it, on a server that all tests of a process share."""

from __future__ import annotations

import os

import pytest

CARD = "---\nlicense: apache-2.0\nlanguage: ko\n---\n# 이름\n"


@pytest.fixture(scope="session")
def hub_server():
    from .server import Server

    server = Server().start()
    yield server
    server.stop()


@pytest.fixture
def hub(hub_server, tmp_path_factory):
    return hub_server.fresh(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def hub_api(hub, monkeypatch):
    """A client in this process: ``hub_api(token)``; without Xet, whose native part writes to the user's home.

    Quicker than ``hub.run``; but whatever finds the Hub by ``HF_ENDPOINT``, which is read at import, needs the latter.
    """
    from huggingface_hub import HfApi, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(hub.state.folder / "no-token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    return lambda token="": HfApi(endpoint=hub.endpoint, token=hub.token if token == "" else token)


@pytest.fixture
def hub_folder(tmp_path):
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
def hub_published(hub, hub_api, hub_folder):
    """That folder, in ``tester/m``, and a client."""
    api = hub_api()
    api.create_repo("tester/m", private=True)
    api.upload_folder(repo_id="tester/m", folder_path=hub_folder)
    return api
