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
