"""Finding out that there is no network before a library retries for a minute."""

from __future__ import annotations

import os
import socket

import pytest

from lf_registry.network import stay_offline_without_network


@pytest.fixture
def environment(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def port():
    """A port of this machine, and whether somebody listens there."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server


def test_a_hub_that_does_not_answer(environment, port):
    environment.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port.getsockname()[1]}")
    environment.setenv("HF_DATASETS_OFFLINE", "0")
    assert stay_offline_without_network()
    assert os.environ.pop("HF_HUB_OFFLINE") == os.environ["HF_DATASETS_OFFLINE"] == "1"


def test_a_hub_that_answers(environment, port):
    port.listen()
    environment.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port.getsockname()[1]}")
    assert not stay_offline_without_network()
    assert "HF_HUB_OFFLINE" not in os.environ


def test_a_proxy_is_not_second_guessed(environment):
    environment.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert not stay_offline_without_network()


def test_offline_already(environment):
    environment.setenv("HF_HUB_OFFLINE", "1")
    environment.setenv("HF_ENDPOINT", "no address at all")
    assert stay_offline_without_network()


def test_an_address_that_is_none(environment):
    environment.setenv("HF_ENDPOINT", "http://127.0.0.1:notaport")
    assert stay_offline_without_network()
    os.environ.pop("HF_HUB_OFFLINE")
