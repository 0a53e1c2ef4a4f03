"""What a folder is: an adapter, a model, or something that cannot be published, which is said with what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..check.checkpoint_adapter import WEIGHTS as ADAPTER_WEIGHTS
from ..check.checkpoint_weights import INDEX, SINGLE
from ..recipes import Recipe
from .artifact import Artifact
from .record import RECORD, read_json, record_folder
from .refuse import refuse_other

#: The JSON files that say how a model was made.
FACTS = (
    *("config", "adapter_config", "generation_config", "tokenizer_config", "trainer_state", "all_results"),
    *("train_results", "eval_results", "merge_report"),
)


def recognize(folder: str | Path, recipe: Recipe | None = None) -> Artifact:
    """Say what a folder holds.

    Nothing is checked here but what the folder is; ``complete`` finds what is missing or broken.

    Args:
        folder: a folder with a LoRA or other PEFT adapter, a model, or a training's output.
        recipe: what it was trained with, where the files do not say it: the base model, the stage.

    Raises:
        UserError: it is something else; one problem, which says what was found and what to publish instead.
    """
    folder = Path(folder)
    refuse_other(folder, recipe)
    adapter = (folder / ADAPTER_WEIGHTS).is_file()
    facts = {name: value for name in FACTS if (value := read_json(folder / f"{name}.json")) is not None}
    record = record_folder(folder, facts)
    if record != folder:
        facts |= {name: value for name in RECORD if (value := read_json(record / f"{name}.json")) is not None}
    weights = (folder / ADAPTER_WEIGHTS,) if adapter else model_weights(folder)
    kind = facts.get("adapter_config", {}).get("peft_type") if adapter else None
    return Artifact(
        folder=folder,
        kind="adapter" if adapter else "model",
        weights=weights,
        peft_type=kind if isinstance(kind, str) else None,
        base_model=_base(facts, adapter) or _recipe_base(recipe),
        checkpoints=tuple(checkpoints(folder, adapter=adapter)),
        facts=facts,
        record=record,
    )


def checkpoints(folder: Path, *, adapter: bool) -> list[Path]:
    """The ``checkpoint-N`` folders with weights of one kind, by step."""
    found = []
    for place in folder.glob("checkpoint-*"):
        if re.fullmatch(r"checkpoint-\d+", place.name) and place.is_dir():
            held = (place / ADAPTER_WEIGHTS).is_file() if adapter else bool(model_weights(place))
            found += [place] if held else []
    return sorted(found, key=lambda place: int(place.name.rpartition("-")[2]))


def model_weights(folder: Path) -> tuple[Path, ...]:
    """The files that Transformers would load, in its own order: one file, or the shards of the index."""
    if (folder / SINGLE).is_file():
        return (folder / SINGLE,)
    weight_map = (read_json(folder / INDEX) or {}).get("weight_map")
    if isinstance(weight_map, dict):
        named = sorted({name for name in weight_map.values() if isinstance(name, str) and Path(name).name == name})
        return tuple(folder / name for name in named if (folder / name).is_file())
    return tuple(sorted(path for path in folder.glob("model-*-of-*.safetensors") if path.is_file()))


def _base(facts: dict[str, Any], adapter: bool) -> str | None:
    """The base model as the files name it: the adapter's config, the merge's report, a config of older versions."""
    places = (("adapter_config", "base_model_name_or_path"),) if adapter else ()
    for file, key in (*places, ("merge_report", "base"), ("config", "_name_or_path")):
        name = facts.get(file, {}).get(key)
        if isinstance(name, str) and name:
            return name
    return None


def _recipe_base(recipe: Recipe | None) -> str | None:
    name = recipe.values.get("model_name_or_path") if recipe else None
    return name if isinstance(name, str) and name else None
