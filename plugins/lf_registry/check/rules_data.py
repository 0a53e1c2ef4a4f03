"""The data: what is trained on, how it is packed and cut, and what is held out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..dataset_info import read_dataset_info
from ..errors import UserError
from ..files import is_dir
from ..peft_methods.settings import learns_prompt
from ..recipes import Recipe, names
from .facts import error, evaluates, get, has_eval_data, is_on, number, stage, text, warning
from .report import Finding

Values = dict[str, Any]


def packing(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Several examples in one sequence."""
    prompt = values.get("peft") is not None and learns_prompt(values["peft"])  # refused, with either packing
    if stage(values) == "sft" and is_on(values, "packing") and not is_on(values, "neat_packing") and not prompt:
        yield warning(
            recipe,
            "packing",
            "packing",
            "the examples that share a sequence see each other: an answer is learned with a stranger's text before it",
            "write `neat_packing: true` instead: the same saving, with the examples kept apart",
        )
    if stage(values) in ("rm", "dpo", "kto", "ppo") and is_on(values, "packing"):
        yield warning(
            recipe,
            "no-effect",
            "packing",
            f"with `stage: {stage(values)}` LLaMA-Factory packs nothing, and only takes one token off cutoff_len",
            "remove it",
        )
    if is_on(values, "neat_packing") and values.get("packing") is False:
        yield warning(
            recipe,
            "packing",
            "packing",
            "`neat_packing: true` switches packing on all the same",
            "remove one of the two",
        )


def repeated(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """A dataset that is named twice."""
    for key in ("dataset", "eval_dataset"):
        listed = names(values.get(key))
        twice = sorted({name for name in listed if listed.count(name) > 1})
        if twice:
            yield warning(
                recipe,
                "no-effect",
                key,
                f"{', '.join(twice)} is named twice; LLaMA-Factory reads it once",
                "name it once; to see its rows more often, raise num_train_epochs or set num_samples in its entry",
            )


def held_out(values: Values, recipe: Recipe) -> Iterator[Finding]:
    """Data to evaluate on."""
    size = number(values, "val_size") or 0
    if get(values, "eval_dataset") and size > 1e-6:
        yield error(
            recipe,
            "incompatible",
            "val_size",
            "LLaMA-Factory takes either `eval_dataset:` or `val_size:`",
            "remove one of the two",
        )
    elif size > 1e-6 and not get(values, "dataset") and not is_on(values, "do_train"):
        yield error(
            recipe, "incompatible", "val_size", "there is no `dataset:` to hold anything out of", "use `eval_dataset:`"
        )
    if isinstance(size, float) and size >= 1:
        fix = f"write `val_size: {int(size)}` for rows" if size > 1 else "write a share below 1, such as 0.1, or rows"
        if size != int(size) or size == 1:
            yield error(recipe, "out-of-range", "val_size", f"{size} is neither a share nor a number of rows", fix)
    wants = evaluates(values) or is_on(values, "do_predict") or is_on(values, "predict_with_generate")
    tokenized = get(values, "tokenized_path")
    if wants and not has_eval_data(values):
        key = "eval_strategy" if "eval_strategy" in values else "eval_dataset"
        yield error(
            recipe,
            "no-eval-data",
            key,
            "the recipe evaluates or predicts, and there is no data for it",
            "add `eval_dataset:`, or `val_size: 0.1` to hold out a tenth of the training data",
        )
    elif has_eval_data(values) and is_on(values, "do_train") and not wants and get(values, "eval_strategy") == "no":
        yield warning(
            recipe,
            "no-effect",
            "eval_dataset" if get(values, "eval_dataset") else "val_size",
            "data is held out and never evaluated on",
            "add `eval_strategy: epoch`",
        )
    elif is_on(values, "do_train") and not has_eval_data(values) and stage(values) != "ppo" and not tokenized:
        yield warning(
            recipe,
            "no-eval-data",
            "eval_dataset",
            "nothing is held out, so that nobody sees when the model starts to learn by heart",
            "add `val_size: 0.1` and `eval_strategy: epoch`, or an `eval_dataset:`",
        )
    both = sorted(set(names(get(values, "dataset"))) & set(names(get(values, "eval_dataset"))))
    if both and is_on(values, "do_train"):
        yield warning(
            recipe,
            "eval-is-train",
            "eval_dataset",
            f"{', '.join(both)} is also trained on: the evaluation cannot show what the model learned by heart",
            "use `val_size: 0.1` instead, or another dataset",
        )


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


RULES = (packing, repeated, held_out, reading, ranking)
