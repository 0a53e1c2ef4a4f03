"""All template files of all data roots, checked together."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .errors import UserError, WrongUsage, did_you_mean
from .paths import Root, roots
from .registry import read_yaml, yaml_files
from .template_spec import TemplateSpec, parse


@dataclass(frozen=True)
class RegisteredTemplate:
    """A checked template file.

    Attributes:
        spec: its content.
        path: the file.
        default_system: its persona: its own, that of ``default_system_of``, or the nearest one up ``extends``.
        builtin: the LLaMA-Factory template at the end of the ``extends`` chain; None for a format of our own.
        own_format: the spec at the end of the chain when it is a format of our own, else None.
    """

    spec: TemplateSpec
    path: Path
    default_system: str
    builtin: str | None
    own_format: TemplateSpec | None

    @property
    def name(self) -> str:
        """The name used as ``template:`` in a recipe."""
        return self.spec.name


@cache
def builtin_templates() -> dict[str, str | None]:
    """The templates that LLaMA-Factory registers: name -> why it cannot be extended (None when it can).

    Read from its source, because importing it takes seconds and this takes milliseconds.
    """
    package = importlib.util.find_spec("llamafactory")
    if package is None or not package.submodule_search_locations:
        raise UserError("LLaMA-Factory is not installed in this Python", hint="pip install llamafactory")
    source = Path(package.submodule_search_locations[0]) / "data" / "template.py"
    found: dict[str, str | None] = {}
    for statement in ast.parse(source.read_text(encoding="utf-8")).body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "register_template":
            arguments = {keyword.arg: keyword.value for keyword in call.keywords}
            name = ast.literal_eval(arguments["name"])
            found[name] = next((why for key, why in _CANNOT_EXTEND.items() if key in arguments), None)
            if any(isinstance(node, ast.Set) and ast.unparse(node) not in _KNOWN_SETS for node in ast.walk(call)):
                found[name] = "its format has a slot that LLaMA-Factory itself passes over"
    return found


_KNOWN_SETS = ("{'bos_token'}", "{'eos_token'}")
#: An argument of ``register_template`` that makes a prompt which no chat template can repeat with equal token ids.
_CANNOT_EXTEND = {
    "template_class": "it changes messages in code",
    "mm_plugin": "it puts images, sound or video into the prompt",
    "efficient_eos": "it does not end its answers itself (efficient_eos)",
}


def builtin_template_names() -> frozenset[str]:
    """The names of the templates that LLaMA-Factory registers."""
    return frozenset(builtin_templates())


def load_templates(
    builtin: Collection[str] | None = None, *, among: list[Root] | None = None
) -> dict[str, RegisteredTemplate]:
    """Read and check every template file.

    A file that stands in two roots with the same bytes (a clone beside an installed copy) counts once.

    Args:
        builtin: the names of LLaMA-Factory's own templates; read from its source when not given.
        among: the data roots to read; ``paths.roots()`` when not given.

    Raises:
        UserError: lists everything that is wrong in all files, with file and key.
    """
    known = frozenset(builtin if builtin is not None else builtin_template_names())
    among = roots() if among is None else among
    files, problems = _read_all(known, among)
    specs = {name: spec for name, (spec, _) in files.items()}
    registered = {}
    for name, (spec, path) in files.items():
        chain, found = _links(spec, "extends", specs, known)
        persona_chain, more = _links(spec, "default_system_of", specs, frozenset())
        found += more
        if not found:
            persona = next((link.persona for link in [*persona_chain, *chain] if link.persona), "")
            if spec.default_system_of and not persona:
                found.append(f"default_system_of: {spec.default_system_of!r} has no default_system")
            own = chain[-1] if chain[-1].extends is None else None
            if persona and own is not None and own is not spec and own.system is None:
                found.append(
                    f"default_system: {own.name!r} has no `system:`, so there is no place for it; add one there"
                )
            registered[name] = RegisteredTemplate(spec, path, persona, chain[-1].extends, own)
        problems += [f"{path}: {problem}" for problem in found]
    if problems:
        here = any(root.origin == "current folder" and root.templates.is_dir() for root in among)
        other = "; or, if this folder's templates/ is not meant, run from another folder" if here else ""
        raise UserError(problems, hint=f"correct the file, then: lf-registry list templates{other}")
    return registered


def _read_all(known: frozenset[str], among: list[Root]) -> tuple[dict[str, tuple[TemplateSpec, Path]], list[str]]:
    """Read every file; returns the good ones by name, and the problems of the others."""
    files: dict[str, tuple[TemplateSpec, Path]] = {}
    problems: list[str] = []
    for root in among:
        for path in yaml_files(root.templates):
            try:
                spec, found = parse(read_yaml(path), path)
            except UserError as error:
                spec, found = None, error.problems
            problems += found
            if spec is None:
                continue
            if spec.name in known:
                problems.append(f"{path}: name: {spec.name!r} is a template of LLaMA-Factory itself; choose another")
            elif spec.name not in files:
                files[spec.name] = (spec, path)
            elif files[spec.name][1].read_bytes() != path.read_bytes():
                problems.append(f"{path}: name: {spec.name!r} is already defined in {files[spec.name][1]}")
    return files, problems


def _links(
    spec: TemplateSpec, key: str, specs: dict[str, TemplateSpec], ends: frozenset[str]
) -> tuple[list[TemplateSpec], list[str]]:
    """Follow ``key`` (``extends``, ``default_system_of``) from spec to spec, until it is empty or in ``ends``.

    Returns:
        The specs on the way, and what is wrong with the link: its target does not exist, or it goes round in a circle.
        A problem further up is reported for the file that has it, so only once.
    """
    chain = [spec]
    while (target := getattr(chain[-1], key)) is not None and target not in ends:
        if target in {link.name for link in chain}:
            circle = " -> ".join([link.name for link in chain] + [target])
            return chain, [f"{key}: goes round in a circle: {circle}"]
        if target not in specs:
            known = did_you_mean(target, set(ends) | set(specs), kind="templates")
            return chain, [f"{key}: {target!r} does not exist; {known}"] if len(chain) == 1 else [
                f"{key}: {chain[1].name!r} has a problem of its own"
            ]
        chain.append(specs[target])
    return chain, []


def get_template(name: str) -> RegisteredTemplate:
    """One of our templates by name.

    Raises:
        UserError: says which templates exist and which one was probably meant.
    """
    templates = load_templates()
    if name not in templates:
        if name in builtin_template_names():
            raise WrongUsage(
                f"{name!r} is a template of LLaMA-Factory itself, not of this registry",
                hint=f"lf-registry new persona my-{name} --extends {name}",
            )
        raise WrongUsage(f"there is no template {name!r}; {did_you_mean(name, templates, kind='templates')}")
    return templates[name]
