"""``lf-registry stats``: from a dataset's name to tables, JSON and plots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import UserError
from ..files import json_text
from .measure import measure
from .plots import write_plots
from .rows import folder_of, read_rows
from .show import print_stats


def stats(name: str, *, root: Path | None, tokenizer: str | None, as_json: bool, plots: Path | None) -> None:
    """Run the verb.

    Raises:
        UserError: there is no such dataset, it is empty or unreadable, or the tokenizer cannot be loaded.
    """
    folder = folder_of(name, root)
    count = _counter(tokenizer) if tokenizer else None
    rows = read_rows(name, folder)
    if not rows:
        raise UserError(f"dataset {name}: has no rows")
    found = measure(name, rows, count)
    written = write_plots(found, plots) if plots else []
    if as_json:
        print(json_text(found.as_json()), end="")
        return
    print_stats(found, tokenizer=tokenizer)
    for path in written:
        print(f"wrote {path}")


def _counter(tokenizer: str) -> Callable[[str], int]:
    from ..network import stay_offline_without_network

    stay_offline_without_network()  # before the import of huggingface_hub, which Transformers brings
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--tokenizer {tokenizer}: cannot be loaded: {str(error).splitlines()[0]}", hint=f"hf download {tokenizer}"
        ) from None
    return lambda text: len(loaded(text, add_special_tokens=False)["input_ids"])
