"""The keys of a training recipe, read from the source of LLaMA-Factory and Transformers.

``HfArgumentParser(_TRAIN_ARGS)`` would say the same after seconds of imports; parsing the source takes a tenth of one.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from typing import Any

from .source import COMPUTED, Source, source_of


@dataclass(frozen=True)
class Key:
    """A key that LLaMA-Factory's training parser takes.

    Attributes:
        name: the key.
        type: the plain types its annotation names: ``int``, ``float``, ``bool``, ``str``, ``list``, ``dict``.
        default: the value when the recipe does not have it; ``COMPUTED`` when the source does not say.
        choices: the values of a ``Literal`` or an enumeration; empty when everything of its type is taken.
        optional: whether ``None`` (an empty value) is a value.
        group: the dataclass that declares it: ``LoraArguments``.
    """

    name: str
    type: frozenset[str]
    default: Any
    choices: tuple[Any, ...]
    optional: bool
    group: str


#: The one key that is ours: `hooks/peft_methods.py` gives LLaMA-Factory's parser a field of this name.
PEFT_KEY = "peft"
_ROOTS = ("ModelArguments", "DataArguments", "TrainingArguments", "FinetuningArguments", "GeneratingArguments")
_SOURCES = {
    "transformers": ["training_args.py", "training_args_seq2seq.py", "trainer_utils.py"],
    "llamafactory": [
        "extras/constants.py",
        "hparams/model_args.py",
        "hparams/data_args.py",
        "hparams/finetuning_args.py",
        "hparams/generating_args.py",
        "hparams/training_args.py",
    ],
}


@cache
def keys() -> dict[str, Key]:
    """Every key of a training recipe, by name."""
    found: dict[str, Key] = {}
    for root in _ROOTS:
        found.update(fields_of(_source(), ("llamafactory", root)))
    found[PEFT_KEY] = Key(PEFT_KEY, frozenset({"dict"}), None, (), True, "FinetuningArguments")
    return found


@cache
def members(enumeration: str) -> tuple[str, ...]:
    """The values of one of Transformers' enumerations, such as ``FSDPOption``."""
    return tuple(_source().members(("transformers", enumeration)).values())


@cache
def comma_separated_keys() -> frozenset[str]:
    """The keys that LLaMA-Factory splits at commas, and for which it takes a YAML list as well."""
    found = set()
    for file in ("hparams/data_args.py", "hparams/finetuning_args.py"):
        for node in ast.walk(source_of("llamafactory", file)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "split_arg":
                found |= {argument.attr for argument in node.args if isinstance(argument, ast.Attribute)}
    return frozenset(found)


@cache
def _source() -> Source:
    return Source(_SOURCES)


def fields_of(source: Source, where: tuple[str, str]) -> dict[str, Key]:
    """The fields of a dataclass and its bases; as in Python, the leftmost base wins."""
    package, name = where
    node = source.classes[where]
    found: dict[str, Key] = {}
    for base in reversed(node.bases):
        parent = source.find(package, ast.unparse(base))
        if parent is not None and parent != where:
            found.update(fields_of(source, parent))
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            key = _key(source, package, name, statement)
            found.pop(statement.target.id, None)
            if key is not None:
                found[key.name] = key
    return found


def _key(source: Source, package: str, group: str, statement: ast.AnnAssign) -> Key | None:
    assert isinstance(statement.target, ast.Name)
    default: Any = COMPUTED
    value = statement.value
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        options = {keyword.arg: keyword.value for keyword in value.keywords}
        if "init" in options and ast.literal_eval(options["init"]) is False:
            return None
        if "default" in options:
            default = source.value(package, options["default"])
        elif ast.unparse(options.get("default_factory", ast.Constant(None))) == "list":
            default = []
    elif value is not None:
        default = source.value(package, value)
    types: set[str] = set()
    choices: list[Any] = _choices_in_metadata(value)
    optional = False
    for part in _parts(statement.annotation):
        text = ast.unparse(part)
        enumeration = source.find(package, text)
        if text == "None":
            optional = True
        elif isinstance(part, ast.Subscript) and ast.unparse(part.value) == "Literal":
            choices += _literals(part)
            types |= {type(choice).__name__ for choice in _literals(part)}
        elif enumeration is not None and any("Enum" in ast.unparse(base) for base in source.classes[enumeration].bases):
            choices += source.members(enumeration).values()
            types.add("str")
        else:
            types.add(text.split("[")[0])
    return Key(statement.target.id, frozenset(types), default, tuple(choices), optional, group)


def _parts(annotation: ast.expr) -> list[ast.expr]:
    """The members of ``X | Y``, ``Optional[X]`` and ``Union[X, Y]``."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return _parts(annotation.left) + _parts(annotation.right)
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) in ("Optional", "Union"):
        inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        none = [ast.Constant(None)] if ast.unparse(annotation.value) == "Optional" else []
        return [part for member in inner for part in _parts(member)] + none
    return [annotation]


def _choices_in_metadata(value: ast.expr | None) -> list[Any]:
    """Literal ``metadata={"choices": [...]}``; the log levels' are computed, and so not found."""
    for node in ast.walk(value) if value is not None else []:
        if isinstance(node, ast.Dict):
            for key, entry in zip(node.keys, node.values, strict=True):
                if (
                    isinstance(key, ast.Constant)
                    and key.value == "choices"
                    and isinstance(entry, (ast.List, ast.Tuple))
                ):
                    return list(ast.literal_eval(entry))
    return []


def _literals(node: ast.Subscript) -> list[Any]:
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return [ast.literal_eval(member) for member in inner]
