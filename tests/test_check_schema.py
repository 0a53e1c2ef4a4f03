"""The keys read from the source are those of the real parser."""

from __future__ import annotations

import dataclasses
import types
import typing

import pytest

from lf_registry.check.schema import comma_separated_keys, keys
from lf_registry.check.source import COMPUTED


@pytest.fixture(scope="module")
def real():
    from llamafactory.hparams.parser import _TRAIN_ARGS
    from transformers import HfArgumentParser

    parser = HfArgumentParser(_TRAIN_ARGS)
    actions = {action.dest: action for action in reversed(parser._actions)}
    fields = {field.name: field for cls in _TRAIN_ARGS for field in dataclasses.fields(cls) if field.init}
    return actions, fields


def test_the_same_keys(real):
    assert set(keys()) == set(real[1])


def test_the_same_defaults(real):
    computed = set()
    for name, field in real[1].items():
        default = field.default_factory() if field.default is dataclasses.MISSING else field.default
        if keys()[name].default is COMPUTED:
            computed.add(name)
        else:
            assert keys()[name].default == default, name
            assert type(keys()[name].default) is type(default) or isinstance(default, str), name
    assert computed == {"optim"}


def test_the_same_choices(real):
    actions, _ = real
    for name, key in keys().items():
        if name not in ("log_level", "log_level_replica"):  # computed in Transformers, and not read
            assert list(key.choices) == list(actions[name].choices or []), name


def test_the_same_types(real):
    for cls in real_classes():
        for name, hint in typing.get_type_hints(cls).items():
            if name not in keys():
                continue
            members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
            assert keys()[name].optional == (type(None) in members), name
            assert keys()[name].type & {"bool", "int", "float"} == {
                plain.__name__ for plain in (bool, int, float) if plain in members
            }, name


def real_classes():
    from llamafactory.hparams import parser

    return parser._TRAIN_ARGS


def test_comma_separated_keys():
    assert {"dataset", "eval_dataset", "lora_target", "additional_target"} <= comma_separated_keys()
    assert "adapter_name_or_path" not in comma_separated_keys()


def test_reading_the_keys_imports_nothing_heavy(python):
    code = """
import sys, time
start = time.perf_counter()
from lf_registry.check.schema import keys
assert len(keys()) > 250
assert time.perf_counter() - start < 3
assert not {"torch", "transformers", "llamafactory"} & set(sys.modules)
"""
    result = python(code, LF_REGISTRY_DISABLE="1", PYTHONPATH="plugins")
    assert result.returncode == 0, result.stderr
