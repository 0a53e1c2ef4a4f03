"""PEFT's methods and their parameters, read from the source of the installed PEFT without importing it.

Every tuner package of PEFT registers itself by one call, ``register_peft_method(name=..., config_cls=...)``; a method
that a later PEFT adds is therefore known here without a line of ours.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..check.schema import Key, fields_of
from ..check.source import Source, source_of
from ..errors import UserError


@dataclass(frozen=True)
class Method:
    """A method of PEFT's registry.

    Attributes:
        name: PEFT's name, in lower case: ``prefix_tuning``.
        config: the class of its configuration: ``PrefixTuningConfig``.
        fields: the parameters it takes, by name.
        prompt: whether it learns a prompt (virtual tokens) and leaves the weights alone.
        on_quantized: whether PEFT has layers of this method for bitsandbytes' weights (a prompt needs none).
    """

    name: str
    config: str
    fields: dict[str, Key]
    prompt: bool
    on_quantized: bool


#: Fields that every PEFT configuration has and that PEFT or LLaMA-Factory fills.
_FILLED = {"auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision"}
_FILLED |= {"runtime_config", "task_type"}


@cache
def methods() -> dict[str, Method]:
    """Every method of the installed PEFT, by name.

    Raises:
        UserError: PEFT is not installed.
    """
    found = importlib.util.find_spec("peft")
    if found is None or not found.submodule_search_locations:
        raise UserError("PEFT is not installed in this Python", hint="pip install llamafactory")
    root = Path(found.submodule_search_locations[0])
    tuners = sorted(path.parent.name for path in (root / "tuners").glob("*/__init__.py"))
    files = ["config.py", *(str(path.relative_to(root)) for path in sorted((root / "tuners").glob("*_utils.py")))]
    files += [f"tuners/{name}/config.py" for name in tuners if (root / "tuners" / name / "config.py").is_file()]
    source = Source({"peft": files})
    known = {}
    for tuner in tuners:
        for name, config in _registered(f"tuners/{tuner}/__init__.py"):
            prompt = _inherits(source, config, "PromptLearningConfig")
            fields = {key: value for key, value in fields_of(source, ("peft", config)).items() if key not in _FILLED}
            on_quantized = prompt or (root / "tuners" / tuner / "bnb.py").is_file()
            known[name] = Method(name, config, fields, prompt, on_quantized)
    return known


def _registered(file: str) -> list[tuple[str, str]]:
    """(name, configuration class) of each ``register_peft_method`` call of a file."""
    found = []
    for node in ast.walk(source_of("peft", file)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "register_peft_method":
            options = {keyword.arg: keyword.value for keyword in node.keywords}
            found.append((ast.literal_eval(options["name"]), ast.unparse(options["config_cls"])))
    return found


def _inherits(source: Source, name: str, base: str) -> bool:
    if name == base:
        return True
    node = source.classes.get(("peft", name))
    return node is not None and any(_inherits(source, ast.unparse(parent), base) for parent in node.bases)
