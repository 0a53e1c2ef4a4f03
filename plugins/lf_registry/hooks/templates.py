"""Hook on ``llamafactory.data.template``: register our templates, and say which template was meant."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import UserError, did_you_mean
from ..templates import RegisteredTemplate, load_templates

if TYPE_CHECKING:
    from llamafactory.data.template import Template


def apply(module: ModuleType) -> None:
    """Register every template file, and wrap the look-up so that an unknown name gets an answer that helps."""
    from . import registry_template  # noqa: F401, calls `register` as its last act, whichever of the two comes first

    _explain_unknown_names(module)


def register(module: ModuleType) -> None:
    """Put our templates into ``module.TEMPLATES``."""
    from .registry_template import RegistryTemplate, build

    builtin = {name: value for name, value in module.TEMPLATES.items() if not isinstance(value, RegistryTemplate)}
    problems = []
    for template in load_templates(builtin).values():
        try:
            module.TEMPLATES[template.name] = build(template, builtin)
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(problems, hint="correct the file, then: lf-registry list templates")


def registered_template(template: RegisteredTemplate) -> Template:
    """The LLaMA-Factory template of one of ours (imports LLaMA-Factory)."""
    from llamafactory.data.template import TEMPLATES

    return TEMPLATES[template.name]


def _explain_unknown_names(module: ModuleType) -> None:
    original = module.get_template_and_fix_tokenizer

    def get_template_and_fix_tokenizer(tokenizer: Any, data_args: Any) -> Template:
        name = data_args.template
        if name is not None and name not in module.TEMPLATES:
            raise UserError(
                f"template: {name!r} does not exist; {did_you_mean(name, module.TEMPLATES, kind='templates')}",
                hint="lf-registry list templates",
            )
        return original(tokenizer, data_args)

    module.get_template_and_fix_tokenizer = get_template_and_fix_tokenizer
