"""What the Hub answers, without a Hub: how long to wait, and what of its words is shown."""

from __future__ import annotations

import httpx
import pytest

from lf_registry.errors import UserError
from lf_registry.publish import retry
from lf_registry.publish.failures import said
from publish_folders import hub_token


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit": '"api";r=0;t=41'}, 42.0),
        ({"ratelimit": '"api";r=0;t=41', "retry-after": "7"}, 42.0),
        ({"ratelimit": '"api";r=12;t=41', "retry-after": "7"}, 7.0),
        ({"retry-after": " 30 "}, 30.0),
        ({"retry-after": "99999"}, 900.0),
        ({"ratelimit": '"api";r=0;t=99999'}, 900.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
def test_how_long_the_hub_asks_to_wait(headers, seconds):
    assert retry.named_wait(httpx.Headers(headers)) == seconds


def test_what_the_hub_said_is_shown_without_addresses_and_tokens():
    error = ValueError(f"see https://hub.example/x?sig=1\nInvalid credentials {hub_token()} given")
    assert said(error) == "Invalid credentials (hidden) given"
    assert said(ValueError("")) == "no reason given"


def test_a_hub_that_cannot_be_reached_is_named(monkeypatch, capsys):
    from huggingface_hub import constants

    def fails():
        raise httpx.ConnectError("refused")

    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    with pytest.raises(UserError, match="the Hub cannot be reached, 4 times in a row") as caught:
        retry.call("asking", fails)
    assert len(waits) == 3 and f"see that {constants.ENDPOINT} can be reached" in caught.value.hint
    assert capsys.readouterr().err.count("waiting") == 3
