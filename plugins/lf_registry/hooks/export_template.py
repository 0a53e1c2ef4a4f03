"""What LLaMA-Factory's export does to a tokenizer, for a merge that does not run it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def apply_template(tokenizer: Any, name: str, settings: Mapping[str, Any]) -> tuple[str, list[int]]:
    """Give ``tokenizer`` the template's special tokens and chat template, as ``llamafactory-cli export`` does.

    Args:
        tokenizer: changed in place.
        name: of a template of ours or of LLaMA-Factory.
        settings: further keys of ``DataArguments`` that the recipe sets (``default_system``, ...).

    Returns:
        The Ollama Modelfile, and the ids of the tokens that end an answer.
    """
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments

    template = get_template_and_fix_tokenizer(tokenizer, DataArguments(template=name, **settings))
    return template.get_ollama_modelfile(tokenizer), sorted(template.get_stop_token_ids(tokenizer))
