"""How the data is read: streamed, mixed, masked, and as the stage wants it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..dataset_info import read_dataset_info
from ..errors import UserError
from ..files import is_dir
from ..recipes import Recipe, names
from .facts import error, get, is_on, number, stage, text
from .report import Finding

Values = dict[str, Any]


def _has_local_file(values: Values) -> bool:
    folder = get(values, "dataset_dir")
    try:
        info = read_dataset_info(Path(folder)) if isinstance(folder, str) else {}
    except UserError:
        return False
    listed = names(values.get("dataset")) + names(values.get("eval_dataset"))
    return any("file_name" in info.get(name, {}) for name in listed)


def reading(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Streaming, mixing and masking."""
    if is_on(values, "streaming"):
        if number(values, "max_steps") in (None, -1):
            yield error(
                recipe,
                "missing-key",
                "max_steps",
                "with `streaming: true` nobody knows how long an epoch is, and LLaMA-Factory wants the number of steps",
                "add `max_steps:`",
            )
        if not number(values, "dataloader_num_workers") and _has_local_file(values):
            yield error(
                recipe,
                "missing-key",
                "dataloader_num_workers",
                "with `streaming: true` LLaMA-Factory splits a local file over the data loader's workers, and stops "
                "when there are none",
                "add `dataloader_num_workers: 1`",
            )
        if get(values, "max_samples") is not None:
            yield error(
                recipe, "incompatible", "max_samples", "cannot be used with `streaming: true`", "remove one of the two"
            )
        if 1e-6 < (number(values, "val_size") or 0) < 1:
            yield error(
                recipe,
                "incompatible",
                "val_size",
                "with `streaming: true` it must be a number of rows, not a share",
                "write a whole number, or use `eval_dataset:`",
            )
        tokenized = text(values, "tokenized_path")
        if tokenized and not is_dir(tokenized):
            yield error(
                recipe,
                "incompatible",
                "tokenized_path",
                "streamed data cannot be saved",
                "make it once without `streaming:`",
            )
    if is_on(values, "mask_history") and is_on(values, "train_on_prompt"):
        yield error(
            recipe,
            "incompatible",
            "mask_history",
            "`train_on_prompt:` trains on all of a conversation, this on its last answer only",
            "keep one of the two",
        )
    shares = names(get(values, "interleave_probs"))
    if shares and get(values, "mix_strategy") == "concat":
        yield error(
            recipe,
            "missing-key",
            "mix_strategy",
            "`interleave_probs:` is taken only when datasets are interleaved",
            "add `mix_strategy: interleave_over`, or remove `interleave_probs:`",
        )
    elif shares and len(shares) != len(names(get(values, "dataset"))):
        yield error(
            recipe,
            "incompatible",
            "interleave_probs",
            f"has {len(shares)} numbers for {len(names(get(values, 'dataset')))} datasets",
            "give one number per dataset",
        )


def ranking(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """A dataset of preferences for DPO and reward models, and no other for the other stages."""
    folder = text(values, "dataset_dir")
    try:
        info = read_dataset_info(Path(folder)) if folder else {}
    except (UserError, OSError):
        return
    wanted = stage(values) in ("dpo", "rm")
    for key in ("dataset", "eval_dataset"):
        for name in names(get(values, key)):
            entry = info.get(name)
            if isinstance(entry, dict) and bool(entry.get("ranking")) != wanted:
                yield error(
                    recipe,
                    "wrong-stage",
                    key,
                    f'{name!r} {"is not" if wanted else "is"} a dataset of preferences (`"ranking": true` in '
                    f"dataset_info.json), and `stage: {stage(values)}` {'needs one' if wanted else 'cannot read one'}",
                    "choose another dataset, or another stage",
                )


RULES = (reading, ranking)
