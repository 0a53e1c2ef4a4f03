"""What a long comparison says of itself where nobody sees a bar."""

from __future__ import annotations

import re
from types import SimpleNamespace

from lf_registry.compare import progress as module
from lf_registry.compare.progress import progress


def advanced(total: int, *steps: int) -> None:
    with progress(total) as advance:
        for step in steps:
            advance(step, "outputs/ironman_lora")


def test_a_line_for_each_tenth_in_a_log(capfd, monkeypatch):
    seconds = iter(range(0, 10**6, 61))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    advanced(2000, *[50] * 40)
    out, err = capfd.readouterr()
    assert out == "" and [int(share) for share in re.findall(r"\((\d+) %\)", err)] == list(range(10, 100, 10))
    assert err.splitlines()[0] == "outputs/ironman_lora: 200 of 2,000 done (10 %) in 4 min, about 37 min left"


def test_at_most_a_line_a_minute(capfd, monkeypatch):
    seconds = iter(range(0, 10**6, 10))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    advanced(100, *[5] * 20)
    assert re.findall(r"\((\d+) %\)", capfd.readouterr().err) == ["30", "60", "90"]


def test_what_is_quick_says_nothing(capfd):
    advanced(100, *[10] * 10)
    advanced(0)
    assert capfd.readouterr() == ("", "")
