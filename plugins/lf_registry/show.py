"""``lf-registry show template``: a template file, and what is made from it."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from .errors import UserError, WrongUsage
from .templates import RegisteredTemplate, get_template


def template_text(
    name: str, *, jinja: bool = False, masks: bool = False, modelfile: bool = False, tokenizer: str | None = None
) -> str:
    """The template's file, its Jinja chat template, or its Ollama Modelfile.

    Args:
        name: of one of our templates.
        jinja, modelfile: what to make; neither: the file itself.
        masks: with ``jinja``: add Transformers' ``{% generation %}`` markers.
        tokenizer: folder or Hub id of a tokenizer, whose tokens are then written as text.

    Raises:
        WrongUsage: options that do not go together.
        UserError: no such template, or the tokenizer cannot be loaded.
    """
    template = get_template(name)
    if jinja and modelfile:
        raise WrongUsage("--jinja and --modelfile: choose one of the two")
    if masks and not jinja:
        raise WrongUsage("--masks goes with --jinja")
    if not jinja and not modelfile:
        if tokenizer:
            raise WrongUsage("--tokenizer goes with --jinja or --modelfile")
        return f"# {template.path}\n{template.path.read_text(encoding='utf-8')}"
    with contextlib.redirect_stdout(sys.stderr):  # libraries print while they are imported; stdout is the result
        made = _registered(template)
        loaded = _load_tokenizer(tokenizer, made) if tokenizer else None
    if jinja:
        return made.jinja(loaded, masks=masks) + "\n"
    from .modelfile import modelfile as write

    try:
        return write(made.chat_format(), eos=loaded.eos_token if loaded is not None else None)
    except ValueError as error:
        raise WrongUsage(
            str(error), hint=f"lf-registry show template {name} --modelfile --tokenizer FOLDER_OR_HUB_ID"
        ) from None


def _registered(template: RegisteredTemplate) -> Any:
    from .hooks.templates import registered_template

    return registered_template(template)


def _load_tokenizer(source: str, made: Any) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise UserError(f"--tokenizer: {source!r} cannot be loaded: {str(error).splitlines()[0]}") from None
    made.fix_special_tokens(tokenizer)
    return tokenizer
