"""Every way in which a model folder can be broken is found out; the cases stand in ``folder_cases_*.py``."""

from __future__ import annotations

import pytest

import folder_cases_adapter as adapter
import folder_cases_config as config
import folder_cases_tensors as tensors
import folder_cases_tokenizer as tokenizer
import folder_cases_weights as weights

PARTS = (config, tokenizer, weights, tensors, adapter)
BROKEN = {name: case for part in PARTS for name, case in part.BROKEN.items()}
WARNED = {name: case for part in PARTS for name, case in part.WARNED.items()}


@pytest.mark.parametrize("name", BROKEN)
def test_an_error(finds, name):
    finds("error", *BROKEN[name])


@pytest.mark.parametrize("name", WARNED)
def test_a_warning(finds, name):
    finds("warning", *WARNED[name])
