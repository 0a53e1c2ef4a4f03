"""The check of a model folder as a whole."""

from __future__ import annotations

import json
import struct

from folder_changes import WEIGHTS, cut, drop, edit, put, shape, tensors, text
from model_folders import checked


def test_all_problems_at_once(copied):
    folder = copied("mixtral")
    edit("config.json", architectures=None)(folder)
    cut("generation_config.json", 5)(folder)
    text("chat_template.jinja", "{{")(folder)
    tensors(drop("experts.3.w1.weight", "model.norm.weight"))(folder)
    tensors(shape("layers.1.input_layernorm.weight", 7))(folder)
    tensors(put("extra", 1))(folder)
    findings, _ = checked(folder)
    assert [found.severity for found in findings] == ["error"] * 4 + ["warning"] * 2
    assert {found.code: found.count for found in findings} == {
        "bad-json": 1,
        "bad-chat-template": 1,
        "missing-key": 3,
        "wrong-shape": 1,
        "no-architectures": 1,
        "unexpected-key": 1,
    }


def test_no_such_folder(tmp_path):
    findings, _ = checked(tmp_path / "none")
    assert [found.code for found in findings] == ["no-such-folder"]


def test_transformers_says_nothing_and_stays_as_loud_as_it_was(copied):
    import logging

    from transformers.utils import logging as its_logging

    records = []
    handler = logging.Handler()
    handler.emit = records.append
    folder = copied("llama")
    edit("config.json", num_hidden_layers=5)(folder)
    before = its_logging.get_verbosity()
    its_logging.set_verbosity_info()
    logging.getLogger("transformers").addHandler(handler)
    try:
        checked(folder)
        assert its_logging.get_verbosity() == logging.INFO
        assert its_logging.is_progress_bar_enabled()
    finally:
        logging.getLogger("transformers").removeHandler(handler)
        its_logging.set_verbosity(before)
    assert [record.getMessage() for record in records if record.levelno >= logging.WARNING] == []


def test_hundreds_of_missing_keys_are_one_finding(copied):
    folder = copied("llama")
    edit("config.json", num_hidden_layers=40)(folder)
    findings, _ = checked(folder)
    assert [(found.code, found.count) for found in findings] == [("missing-key", 38 * 9)]
    assert findings[0].details[-1] == f"... and {38 * 9 - 8} more"


def test_the_weights_are_not_read(copied):
    """A file with a hole instead of values: a million gigabytes could not be read."""
    folder = copied("llama")
    size = 1 << 40
    header = json.dumps({"big": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with (folder / WEIGHTS).open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + size)
    findings, _ = checked(folder)
    assert [found.code for found in findings] == ["missing-key", "unexpected-key"]
