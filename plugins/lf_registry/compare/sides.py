"""The two models that are compared: which folders they are in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import is_dir, is_file
from ..fingerprint import fingerprint
from ..merge.adapter_config import FILE as ADAPTER_CONFIG
from ..merge.checkpoint import read_json
from ..merge.resolve import adapter_folder, base_name, local_folder
from ..merge.template import check_template
from ..merge.tied import is_vocabulary
from ..tensors import read_header
from .tokenizers import give_pad, give_templates, load_tokenizer, no_template

#: Which side is which, in all files that are written.
BEFORE, AFTER = "before", "after"
SIDES = (BEFORE, AFTER)


@dataclass
class Side:
    """One of the two models.

    Attributes:
        name: ``before`` or ``after``.
        label: what was typed for it.
        model: the folder of the model (of the base, for an adapter).
        adapter: the adapter's folder, or None.
        tokenizer: with the chat template that the prompts are written with.
        template: where that chat template is from, for the report.
        stops: ids of tokens that end an answer, besides the model's own.
        rows: how many rows the embedding needs, or None for as many as it has.
    """

    name: str
    label: str
    model: Path
    adapter: Path | None
    tokenizer: Any
    template: str
    stops: list[int] = field(default_factory=list)
    rows: int | None = None

    @property
    def fingerprint(self) -> str:
        """Changes when the weights, the tokenizer or the chat template change; not when the folder moves."""
        folders = [self.model] + ([self.adapter] if self.adapter else [])
        return fingerprint(folders, self.tokenizer.chat_template)


def resolve(
    base: str | None,
    tuned: str,
    *,
    template: str | None = None,
    settings: dict[str, Any] | None = None,
    same_template: bool = False,
    trust: bool = False,
) -> tuple[list[Side], list[str]]:
    """Find both models and the chat template that each is asked with.

    A model is asked with the chat template saved in its own folder, because that is what serves it. A base without one
    gets ``template``, or else the tuned model's.

    Args:
        base: folder or Hub id; None for the one that the adapter names.
        tuned: an adapter or a model: folder or Hub id.
        template: LLaMA-Factory's name of a template, for a model that has none saved.
        settings: further keys of the recipe for that template (``default_system``).
        same_template: ask the base with the tuned model's chat template too: then only the weights differ.
        trust: run the Python code that a model brings.

    Returns:
        Before and after, and notes.

    Raises:
        UserError: lists what cannot be found or loaded.
    """
    folder = _tuned_folder(tuned)
    adapter = folder if is_file(folder / ADAPTER_CONFIG) else None
    notes: list[str] = []
    revision = None
    if adapter is not None:
        try:
            named, revision = base_name(adapter)
        except UserError:
            if base is None:
                raise
            named = base
        if base is not None and base != named and not _same(base, named):
            notes.append(f"{tuned} was trained on {named}, and --base is {base}: the adapter is put on that")
            revision = None
        base = base or named
    if base is None:
        raise UserError(
            f"--base is missing: {tuned} is a whole model, which does not say what it was made from",
            hint="--base MODEL, a folder or a Hub id: the model before the training",
        )
    model = local_folder(base, what="base model", revision=revision)
    if not is_file(model / "config.json"):
        what = "is an adapter, no whole model" if is_file(model / ADAPTER_CONFIG) else "is no model folder"
        raise UserError(
            f"base model {base!r}: {what}: it has no config.json", hint="--base MODEL: what the training started from"
        )
    if template is not None:
        check_template(template)
    before = Side(BEFORE, base, model, None, load_tokenizer([model], trust), "")
    after = Side(AFTER, tuned, model if adapter else folder, adapter, load_tokenizer([folder, model], trust), "")
    sides = [before, after]
    give_templates(before, after, template, settings or {}, same_template, notes)
    for side in sides:
        give_pad(side)
    after.rows = _rows(adapter, model) if adapter else None
    return sides, notes


def alone(tuned: str, *, trust: bool = False) -> Side:
    """A whole model whose base nobody knows, as it answers by itself.

    Raises:
        UserError: it is no model, cannot be loaded, or has no chat template.
    """
    folder = _tuned_folder(tuned)
    side = Side(AFTER, tuned, folder, None, load_tokenizer([folder], trust), "saved with it")
    if not side.tokenizer.chat_template:
        raise UserError(no_template(side), hint="lf-registry merge ADAPTER --out DIR --template NAME")
    give_pad(side)
    return side


def _same(one: str, other: str) -> bool:
    return is_dir(one) and is_dir(other) and Path(one).resolve() == Path(other).resolve()


def _tuned_folder(tuned: str) -> Path:
    folder = local_folder(tuned, what="tuned model")
    if is_file(folder / "config.json") and not is_file(folder / ADAPTER_CONFIG):
        return folder
    try:
        adapter_folder(str(folder))
    except UserError as error:  # there are checkpoints in it: its hint is the merge's
        checkpoint = str(error.hint).split()[2]
        raise UserError(error.problems, hint=f"--tuned {checkpoint}, or go on training first") from None
    if not is_file(folder / ADAPTER_CONFIG):
        raise UserError(f"{folder}: has neither config.json nor {ADAPTER_CONFIG}: no model, no adapter")
    return folder


def _rows(adapter: Path, model: Path) -> int | None:
    """How many embeddings an adapter was trained with, when these are others than its base has."""
    weights = adapter / "adapter_model.safetensors"
    if not is_file(weights):
        return None
    tensors = read_header(weights).tensors
    sizes = [t.shape[0] for name, t in tensors.items() if is_vocabulary(name) and "lora" not in name and t.shape]
    config = read_json(model / "config.json")
    own = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
    return max(sizes) if sizes and max(sizes) != own else None
