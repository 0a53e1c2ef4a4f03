"""Write a tokenizer with a named chat template: the only part of a merge that imports LLaMA-Factory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError, did_you_mean
from ..templates import builtin_template_names, load_templates
from .quiet import no_collection, quiet


def check_template(name: str) -> None:
    """Check that a template exists, without importing LLaMA-Factory.

    Raises:
        UserError: says which exist and which was probably meant.
    """
    known = set(load_templates()) | builtin_template_names()
    if name not in known:
        raise UserError(f"template: {name!r} does not exist; {did_you_mean(name, known, kind='templates')}")


def write_with_template(
    source: Path | None, folder: Path, name: str, settings: Mapping[str, Any], *, trust: bool = False
) -> list[int]:
    """Save the tokenizer of ``source`` with the template's special tokens, chat template and Modelfile into ``folder``.

    Returns:
        The ids of the tokens that end an answer.

    Raises:
        UserError: there is no tokenizer, it cannot be loaded, or the template refuses the settings.
    """
    if source is None:
        raise UserError(f"--template {name}: neither the adapter nor the base has a tokenizer (tokenizer_config.json)")
    with quiet(), no_collection():
        from transformers import AutoTokenizer

        from ..hooks.export_template import apply_template

        try:
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust)
        except (OSError, ValueError, ImportError) as error:
            raise UserError(
                f"{source}: its tokenizer cannot be loaded: {str(error).splitlines()[0]}",
                hint="a recipe may say trust_remote_code: true; without a template the tokenizer is copied as it is",
            ) from None
        try:
            modelfile, stops = apply_template(tokenizer, name, settings)
        except ValueError as error:
            given = ", ".join(f"{key}: {value!r}" for key, value in settings.items())
            raise UserError(f"template: {name} cannot be applied{f' with {given}' if given else ''}: {error}") from None
        tokenizer.padding_side = "left"  # for generating; LLaMA-Factory's export does the same
        tokenizer.init_kwargs["padding_side"] = "left"
        tokenizer.save_pretrained(folder)
    (folder / "Modelfile").write_text(modelfile, encoding="utf-8")
    return stops
