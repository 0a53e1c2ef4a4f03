"""An adapter's folder: what PEFT saved, as a list of changes to the base model's modules."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import is_file
from ..tensors import read_header
from .adapter_config import FILE as CONFIG
from .adapter_config import pattern_value, read_config
from .changes import Change, Experts, Lora, Replace, Tokens
from .checkpoint import Part, parts_of
from .tied import is_vocabulary, same_bytes

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."


@dataclass(frozen=True)
class Adapter:
    """What one adapter changes, in the order in which it is applied.

    Attributes:
        folder: the adapter's folder.
        config: its ``adapter_config.json``.
        changes: replacements first, as PEFT loads them before it merges.
        notes: what the user should know.
    """

    folder: Path
    config: dict[str, Any]
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()


_LORA = re.compile(r"^(?P<module>.+?)(?P<nest>(?:\.base_layer)*)\.lora_(?P<which>[AB])\.(?P<kind>weight|bias)$")
_EMBEDDING = re.compile(r"^(?P<module>.+)\.lora_embedding_(?P<which>[AB])$")
_MAGNITUDE = re.compile(r"^(?P<module>.+)\.lora_magnitude_vector(?:\.weight)?$")
_TOKENS = re.compile(r"^(?P<module>.+)\.token_adapter\.trainable_tokens_delta$")
#: A saved parameter. PEFT also writes what its wrappers hold when the vocabulary was resized: ``original_module`` is
#: the model's own parameter, ``modules_to_save`` repeats the trained one.
_SAVED = re.compile(
    r"^(?P<module>.+?)(?:\.token_adapter)?(?P<wrapped>\.base_layer|\.original_module|\.modules_to_save)?"
    r"\.(?P<kind>weight|bias)$"
)


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter without its values.

    Raises:
        UserError: every key of ``adapter_config.json`` that cannot be merged, every tensor that does not belong.
    """
    config, notes = read_config(folder)
    if not is_file(folder / WEIGHTS) and not (folder / WEIGHTS).is_symlink():
        if is_file(folder / "adapter_model.bin"):
            raise UserError(
                f"{folder}: has adapter_model.bin, but no {WEIGHTS}; pickled weights are not read",
                hint="load it once with PEFT and save_pretrained it",
            )
        steps = sorted(folder.glob("global_step*"))
        raise UserError(
            f"{folder}: has no {WEIGHTS}",
            hint=f"lf-registry export-adapter {folder}"
            if steps
            else "name the training's output_dir or a checkpoint-N",
        )
    parts = parts_of(read_header(folder / WEIGHTS))
    return Adapter(folder, config, _changes(folder, config, parts), notes)


def _changes(  # noqa: PLR0912, one branch for each kind of key
    folder: Path, config: dict[str, Any], parts: dict[str, Part]
) -> tuple[Change, ...]:
    found: dict[str, dict[str, Part]] = {}
    replaced: list[Change] = []
    tokens: list[Change] = []
    problems: list[str] = []
    saved = config.get("modules_to_save") or []
    # ensure_weight_tying lets one of two tied layers follow the other; both in modules_to_save are trained apart.
    layers = [part for key, part in parts.items() if is_vocabulary(key)]
    shared = bool(config.get("ensure_weight_tying")) and all(same_bytes(layers[0], layer) for layer in layers[1:])
    for key, part in parts.items():
        name = key.removeprefix(PREFIX)
        if name == key:
            problems.append(f"{part.path}: tensor {key!r} does not begin with {PREFIX!r}, so it is not PEFT's")
        elif part.dtype not in ("F16", "BF16", "F32", "F64"):
            problems.append(f"{part.path}: tensor {key!r} is {part.dtype}; an adapter has floating-point values")
        elif match := _LORA.match(name):
            group = found.setdefault(match["module"] + match["nest"], {})
            group[match["which"] + ("" if match["kind"] == "weight" else "bias")] = part
        elif match := _EMBEDDING.match(name):
            found.setdefault(match["module"], {})["e" + match["which"]] = part
        elif match := _MAGNITUDE.match(name):
            found.setdefault(match["module"], {})["m"] = part
        elif match := _TOKENS.match(name):
            indices = _indices(config, match["module"])
            if indices is None or part.shape[:1] != (len(indices),):
                problems.append(f"{part.path}: tensor {key!r} does not fit {CONFIG}: trainable_token_indices")
            else:
                tokens.append(Tokens(match["module"], part, indices))
        elif match := _SAVED.match(name):
            own = match["wrapped"] is None and any(match["module"].endswith(module) for module in saved)
            own = own and not shared
            plain = f"{match['module']}.{match['kind']}"
            if match["wrapped"] != ".modules_to_save" or PREFIX + plain not in parts:
                replaced.append(Replace(plain, part, own))
        else:
            problems.append(f"{part.path}: tensor {key!r} belongs to nothing that a LoRA adapter changes")
    lora = [change for module, group in found.items() for change in _lora(folder, config, module, group, problems)]
    if not parts:
        problems.append(f"{folder / WEIGHTS}: holds no tensor, so there is nothing to merge")
    problems += _not_saved(folder, config, replaced)
    if problems:
        raise UserError(problems, hint="save the adapter again from its training, or train it again")
    shared_first = sorted(replaced, key=lambda change: isinstance(change, Replace) and change.own)
    return (*shared_first, *lora, *tokens)


def _lora(
    folder: Path, config: dict[str, Any], module: str, group: dict[str, Part], problems: list[str]
) -> list[Change]:
    """The change of one module; what is missing or does not fit goes to ``problems``."""
    where = f"{folder / WEIGHTS}: {PREFIX}{module}"
    embedding = "eA" in group or "eB" in group
    first, second = ("eA", "eB") if embedding else ("A", "B")
    missing = [name for name in (first, second) if name not in group]
    if missing:
        names = " and ".join(f"lora_{'embedding_' if embedding else ''}{name[-1]}" for name in missing)
        problems.append(f"{where}: {names} is missing")
        return []
    a, b = group[first], group[second]
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1] or 0 in a.shape[:1]:
        problems.append(f"{where}: A {list(a.shape)} and B {list(b.shape)} are no pair [r, in] and [out, r]")
        return []
    targets = config.get("target_parameters") or []
    plain = module.split(".base_layer", maxsplit=1)[0]
    last = plain.rpartition(".")[2]
    if "m" not in group and any(target.rpartition(".")[0].rpartition(".")[2] == last for target in targets):
        return [Experts(plain, module.count(".base_layer"), a, b)]
    if ".base_layer" in module:
        problems.append(f"{where}: stands inside another adapter's wrapper; merge that adapter first and save again")
        return []
    rank = pattern_value(config["rank_pattern"], module, config["r"])
    if rank != a.shape[0]:
        problems.append(f"{where}: lora_A has rank {a.shape[0]}, {CONFIG} says r {rank} (r, rank_pattern)")
        return []
    if config["use_dora"] != ("m" in group):
        problems.append(f"{where}: lora_magnitude_vector and {CONFIG}: use_dora do not fit together")
    if config["use_dora"] and embedding:
        problems.append(
            f"{folder / CONFIG}: use_dora: DoRA on an embedding ({module}) is not supported: its norms run over the "
            "whole vocabulary; leave the embedding out of target_modules"
        )
    return [Lora(module, a, b, scaling(config, module, rank), embedding, group.get("m"), group.get("Bbias"))]


def scaling(config: dict[str, Any], key: str, rank: int) -> float:
    """The factor of ``B @ A``: alpha / r, with rsLoRA alpha / sqrt(r) (PEFT 0.18, ``LoraLayer.update_layer``)."""
    alpha = pattern_value(config["alpha_pattern"], key, config["lora_alpha"])
    return alpha / math.sqrt(rank) if config["use_rslora"] else alpha / rank


def _indices(config: dict[str, Any], module: str) -> tuple[int, ...] | None:
    given = config.get("trainable_token_indices")
    if isinstance(given, dict):
        given = next((value for key, value in given.items() if module.endswith(key)), None)
    if not isinstance(given, list) or not all(isinstance(index, int) and index >= 0 for index in given):
        return None
    return tuple(given)


def _not_saved(folder: Path, config: dict[str, Any], replaced: list[Change]) -> list[str]:
    names = [change.parameter.rpartition(".")[0] for change in replaced if isinstance(change, Replace)]
    return [
        f"{folder / CONFIG}: modules_to_save: {module!r} was trained, but {WEIGHTS} does not have its values"
        for module in config.get("modules_to_save") or []
        if not any(name.endswith(module) or f".{module}." in f".{name}." for name in names)
    ]
