"""Folders that cannot be published, each with what it is and what to name instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from ..check.checkpoint_adapter import CONFIG as ADAPTER_CONFIG
from ..check.checkpoint_adapter import WEIGHTS as ADAPTER_WEIGHTS
from ..check.checkpoint_weights import INDEX, SINGLE
from ..errors import UserError
from ..made_by import command_that_makes
from ..recipes import Recipe

_VALUE_HEADS = ("value_head.safetensors", "value_head.bin")
_PICKLES = ("adapter_model.bin", "pytorch_model.bin", "pytorch_model.bin.index.json")
_DATA = (".jsonl", ".json", ".csv", ".parquet", ".arrow", ".txt")


def refuse_other(folder: Path, recipe: Recipe | None) -> None:
    """Return when the folder holds an adapter's or a model's weights as safetensors; else say what it holds.

    Raises:
        UserError: one problem and the next command, as far as it is known.
    """
    _refuse_no_folder(folder)
    _refuse_by_name(folder)
    names = {path.name for path in folder.iterdir()}
    model = SINGLE in names or INDEX in names or any(re.fullmatch(r"model-\d+-of-\d+\.safetensors", n) for n in names)
    if ADAPTER_WEIGHTS in names and model:
        _stop(
            f"{folder}: holds an adapter ({ADAPTER_WEIGHTS}) and a model's weights; programs load one, not the other",
            "keep each in a folder of its own, and publish that",
        )
    if model and ADAPTER_CONFIG in names:
        _stop(
            f"{folder}: has {ADAPTER_CONFIG} beside a model's weights, so programs look for an adapter",
            f"if it is a merged model: rm {folder / ADAPTER_CONFIG}",
        )
    _refuse_value_head(folder, names, recipe)
    if ADAPTER_WEIGHTS not in names and not model:
        _refuse_without_weights(folder, names)


def _stop(problem: str, hint: str | None = None) -> NoReturn:
    raise UserError(problem, hint=hint)


def _refuse_no_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    if not folder.exists():
        near = sorted(str(path) for path in _folders(folder.parent) if has_weights(path))[:5]
        made_by = command_that_makes(folder)
        _stop(
            f"{folder}: there is no such folder (paths start at the current folder)",
            (f"{made_by}   # makes it; or " if made_by else "")
            + f"name the folder that was trained or merged{': ' + ' or '.join(near) if near else ''}",
        )
    parent = folder.parent
    hint = f"name the folder: {parent}" if has_weights(parent) else "name the folder that holds weights and config"
    _stop(f"{folder}: is a file; a folder is published", hint)


def _refuse_by_name(folder: Path) -> None:
    real = folder.resolve()
    temporary = re.fullmatch(r"\.(.+)\.(?:merging-.*|before-merge)", real.name)
    if temporary:
        _stop(
            f"{folder}: is the temporary folder of a merge that was stopped or is running, so it may be half written",
            f"run the merge again; it writes {real.with_name(temporary[1])}",
        )
    cached = next((part for part in real.parts if re.fullmatch(r"(?:models|datasets|spaces)--.+", part)), None)
    if cached:
        name = cached.split("--", 1)[1].replace("--", "/")
        _stop(
            f"{folder}: lies in the cache of the Hub's files; it is {name} as it was downloaded, nothing of yours",
            "name the folder that your training or merge wrote (output_dir, export_dir, --out)",
        )


def _refuse_value_head(folder: Path, names: set[str], recipe: Recipe | None) -> None:
    """Refuse a reward model. PPO saves the value head too, beside a policy that writes text."""
    heads = [name for name in _VALUE_HEADS if name in names]
    stage = recipe.values.get("stage") if recipe else None
    if heads and stage != "ppo":
        _stop(
            f"{folder / heads[0]}: a value head, as a reward model (stage: rm) has it; that gives scores and no text, "
            "and nothing but LLaMA-Factory loads it",
            "after stage: ppo the text model beside it can be published: add --recipe RECIPE, the head is left out",
        )


def _refuse_without_weights(folder: Path, names: set[str]) -> None:
    if not names:
        _stop(f"{folder}: is empty", "name the folder that was trained or merged")
    if "blobs" in names and "snapshots" in names:
        _stop(f"{folder}: is a folder of the Hub's cache, not a model", "name the folder that you trained or merged")
    _refuse_partitions(folder)
    _refuse_unfinished(folder)
    pickles = [name for name in _PICKLES if name in names]
    if pickles:
        _stop(
            f"{folder / pickles[0]}: weights as a pickle, which can run code; only safetensors are published",
            "save it again with a current Transformers or PEFT (save_pretrained), or llamafactory-cli export",
        )
    gguf = sorted(name for name in names if name.endswith(".gguf"))
    if gguf:
        _stop(
            f"{folder / gguf[0]}: a GGUF file; the model's safetensors are published, from which anyone can make it",
            "name the folder that the GGUF file was made from",
        )
    below = [path for path in _two_levels(folder) if has_weights(path)]
    if below:
        listed = ", ".join(str(path) for path in below[:6]) + (f" and {len(below) - 6} more" if len(below) > 6 else "")
        _stop(
            f"{folder}: has no weights itself; the folders below it do: {listed}",
            f"lf-registry publish {below[0]} REPO_ID",
        )
    known = {"config.json", ADAPTER_CONFIG, "trainer_state.json", "tokenizer_config.json", "all_results.json"}
    others = [name for name in names if not name.lower().startswith(("readme", "license", "."))]
    if "dataset_info.json" in names or (others and not names & known and all(Path(n).suffix in _DATA for n in others)):
        _stop(
            f"{folder}: holds data ({', '.join(sorted(others)[:4])}) and no model; models are published",
            f"for data: hf upload REPO_ID {folder / sorted(others)[0]} --repo-type dataset --private",
        )
    config = next((name for name in (ADAPTER_CONFIG, "config.json") if name in names), None)
    if config:
        what = ADAPTER_WEIGHTS if config == ADAPTER_CONFIG else f"{SINGLE} or {INDEX}"
        _stop(f"{folder}: has {config} but no weights ({what})", "train again, or copy the weights here")
    some = ", ".join(sorted(names)[:6]) + (" ..." if len(names) > 6 else "")
    _stop(
        f"{folder}: is neither an adapter ({ADAPTER_CONFIG}, {ADAPTER_WEIGHTS}) nor a model (config.json, {SINGLE}); "
        f"it holds {some}",
        "name the folder that your training or merge wrote (output_dir, export_dir, --out)",
    )


def _refuse_partitions(folder: Path) -> None:
    """Say how the partitions of DeepSpeed become weights: of this folder, or of its last checkpoint."""
    whole = [place for place in _checkpoints(folder) if has_weights(place)]
    places = [place for place in (folder, *reversed(_checkpoints(folder))) if any(place.glob("global_step*/*.pt"))]
    if not places or whole:
        return
    place = places[0]
    adapter = any((where / ADAPTER_CONFIG).is_file() for where in (place, place.parent, folder))
    if adapter:
        then = f"lf-registry export-adapter {place}, then: lf-registry publish {place} REPO_ID"
    else:
        script = place / "zero_to_fp32.py"
        start = f"python {script}" if script.is_file() else "python -m deepspeed.utils.zero_to_fp32"
        then = f"{start} {place} {place} --safe_serialization, then: lf-registry publish {place} REPO_ID"
    _stop(f"{place}: holds DeepSpeed's partitions (global_step*/) only, which nothing but DeepSpeed can load", then)


def _refuse_unfinished(folder: Path) -> None:
    steps = [place for place in _checkpoints(folder) if has_weights(place)]
    if not steps:
        return
    best = next((name for name in (_best(place) for place in reversed(steps)) if name in {s.name for s in steps}), None)
    chosen = folder / best if best else steps[-1]
    why = "its best by the evaluation" if best and chosen != steps[-1] else "the last"
    listed = ", ".join(place.name for place in steps[-6:])
    _stop(
        f"{folder}: the training did not finish: there is no final model, only checkpoints ({listed})",
        f"go on training, or publish {why}: lf-registry publish {chosen} REPO_ID",
    )


def _best(checkpoint: Path) -> str | None:
    """The name of the best checkpoint so far, by this checkpoint's state."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        best = state["best_model_checkpoint"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return re.split(r"[\\/]", best.rstrip("\\/"))[-1] if isinstance(best, str) else None


def has_weights(folder: Path) -> bool:
    """Whether a folder holds safetensors of an adapter or a model."""
    if (folder / ADAPTER_WEIGHTS).is_file() or (folder / SINGLE).is_file() or (folder / INDEX).is_file():
        return True
    return folder.is_dir() and any(folder.glob("model-*-of-*.safetensors"))


def _checkpoints(folder: Path) -> list[Path]:
    found = [place for place in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", place.name)]
    return sorted(found, key=lambda place: int(place.name.rpartition("-")[2]))


def _two_levels(folder: Path) -> Iterable[Path]:
    for place in _folders(folder):
        yield place
        yield from (below for below in _folders(place) if not below.name.startswith("checkpoint-"))


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith("."))
    except OSError:
        return []
