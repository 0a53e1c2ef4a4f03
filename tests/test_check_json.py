"""A report as JSON."""

from __future__ import annotations

import json
import re

import pytest

from lf_registry.check.as_json import report_json
from report_parts import lengths
from report_reading import NAMES
from reports import REPORTS, everything


@pytest.mark.parametrize("name", NAMES)
def test_json_round_trips(name):
    value = report_json(REPORTS[name]())
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    assert json.loads(text.encode("utf-8")) == value


def test_json_has_the_documented_keys():
    report = everything()
    value = report_json(report)
    documented = set(re.findall(r"``(\w+)``", report_json.__doc__)) - {"DatasetReport"}
    assert set(value) | set(value["findings"][0]) | set(value["samples"][0]) | {"id", "text", "trained"} == documented
    assert (value["version"], value["errors"], value["warnings"]) == (1, 3, 2)
    assert value["findings"][0]["code"] == "unknown-key" and value["findings"][1]["rows"] == [3, 17, 52]
    assert value["datasets"][0]["lengths"]["edges"] == list(lengths().edges)
    assert value["samples"][0]["tokens"][-1] == {"id": 708 + 1, "text": "<|eot_id|>", "trained": True}
