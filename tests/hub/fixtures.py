"""The fixtures: ``hub``, a Hub with nothing in it, on a server that all tests of a process share."""

from __future__ import annotations

import pytest


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
