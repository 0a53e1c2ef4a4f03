"""Check the weight files of a model folder by their headers: index, shards, sizes. No weight is read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..tensors import BadTensorFile, Tensor, read_header
from .checkpoint_files import (
    FETCH_LFS,
    download_again,
    finding,
    listed,
    read_json_object,
    small_file_problem,
)
from .report import Finding

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_FIX_BY_CODE = {"lfs-pointer": FETCH_LFS, "unreadable-file": "check that it is a file and its permissions"}
#: What DeepSpeed ZeRO-3 needs to write whole tensors.
GATHER = (
    'set "stage3_gather_16bit_weights_on_model_save": true in the DeepSpeed file before training; weights that exist '
    "only as partitions (global_step*/) are put together by zero_to_fp32.py, which lies beside them"
)


def check_weights(folder: Path) -> tuple[dict[str, Tensor] | None, list[Finding], list[str]]:
    """Check the files that Transformers would load, in its own order: one file, an index with shards, pickles.

    Returns:
        The tensors of all files (None unless every file is whole), the findings, sentences on what was not checked.
    """
    notes: list[str] = []
    shards = sorted(path.name for path in folder.glob("model-*-of-*.safetensors"))
    if (folder / SINGLE).is_file():
        findings: list[Finding] = []
        if shards or (folder / INDEX).is_file():
            others = [*shards, *([INDEX] if (folder / INDEX).is_file() else [])]
            message = f"two sets of weights: Transformers loads {SINGLE} and ignores {listed(others)}"
            fix = "delete the set that is not meant"
            findings.append(finding("two-sets-of-weights", folder / SINGLE, message, fix, severity="warning"))
        files = read_files([folder / SINGLE], findings)
        return (_join(folder, files, findings) if len(files) == 1 else None), findings, notes
    if (folder / INDEX).is_file():
        tensors, findings = _check_index(folder, shards)
        return tensors, findings, notes
    if shards:
        message = f"{len(shards)} shards without {INDEX}: loading stops, nothing says which tensor is in which shard"
        fix = f"hf download MODEL_ID {INDEX} --local-dir {folder}; or save the model again"
        return None, [finding("missing-index", folder / INDEX, message, fix, names=shards)], notes
    pickles = [folder / name for name in _PICKLES if (folder / name).is_file()]
    if pickles:
        notes.append(f"{pickles[0]}: LLaMA-Factory loads pickle files, but their content was not checked")
        return None, _check_pickles(folder, pickles[0]), notes
    return None, [_no_weights(folder)], notes


def _no_weights(folder: Path) -> Finding:
    """Say what there is instead of weights."""
    partitions = sorted(folder.glob("global_step*/*_optim_states.pt")) + sorted(
        folder.glob("global_step*/zero_pp_rank_*_model_states.pt")
    )
    if partitions:
        message = f"only DeepSpeed's partitions ({len(partitions)} files), no weights that Transformers can load"
        script = folder / "zero_to_fp32.py"
        start = f"python {script}" if script.is_file() else "python -m deepspeed.utils.zero_to_fp32"
        fix = f"put them together: {start} {folder} {folder} --safe_serialization"
        return finding("only-deepspeed-partitions", partitions[0].parent, message, fix)
    gguf = sorted(path.name for path in folder.glob("*.gguf"))
    also = f"; LLaMA-Factory does not train {gguf[0]}" if gguf else ""
    message = f"there are no weights: neither {SINGLE} nor {INDEX} nor {_PICKLES[0]}{also}"
    return finding("no-weights", folder, message, f"hf download MODEL_ID --local-dir {folder}")


def read_files(paths: Iterable[Path], findings: list[Finding]) -> dict[str, dict[str, Tensor]]:
    """File name -> its tensors, for the files that are whole."""
    found = {}
    for path in paths:
        try:
            found[path.name] = read_header(path).tensors
        except BadTensorFile as error:
            for code in dict.fromkeys(problem.code for problem in error.found):
                messages = [p.message.removeprefix(f"{path}: ") for p in error.found if p.code == code]
                text = messages[0] if len(messages) == 1 else f"{len(messages)} problems in the header: {messages[0]}"
                fix = _FIX_BY_CODE.get(code, download_again(path))
                findings.append(finding(code, path, text, fix, names=messages if len(messages) > 1 else ()))
    return found


def _join(folder: Path, files: dict[str, dict[str, Tensor]], findings: list[Finding]) -> dict[str, Tensor]:
    """All tensors together; finds what can be said of them without knowing the model."""
    tensors = {name: tensor for held in files.values() for name, tensor in held.items()}
    where = folder / next(iter(files)) if len(files) == 1 else folder
    if not tensors:
        findings.append(finding("no-tensors", where, "the files hold no tensor at all, so nothing was saved", GATHER))
    empty = [name for name, tensor in tensors.items() if 0 in tensor.shape]
    if empty:
        message = f"{len(empty)} of {len(tensors)} tensors have no values: ZeRO-3 saved its partitions, not the weights"
        findings.append(finding("empty-tensors", where, message, GATHER, names=empty))
    # Norms and gates may be kept in float32 on purpose; matrices of one model have one type.
    dtypes = Counter(t.dtype for t in tensors.values() if len(t.shape) > 1 and t.dtype in ("F32", "F16", "BF16"))
    if len(dtypes) > 1:
        counts = ", ".join(f"{count} {dtype}" for dtype, count in dtypes.most_common())
        rare = dtypes.most_common()[-1][0]
        names = [name for name, tensor in tensors.items() if tensor.dtype == rare and len(tensor.shape) > 1]
        message = f"the matrices have different types ({counts}), as after a merge that went half way"
        fix = "save the model again in one dtype, if this was not meant"
        findings.append(finding("mixed-dtypes", where, message, fix, severity="warning", names=names))
    return tensors


def _check_index(folder: Path, on_disk: list[str]) -> tuple[dict[str, Tensor] | None, list[Finding]]:
    findings: list[Finding] = []
    path = folder / INDEX
    index = read_json_object(path, findings)
    if index is None:
        return None, findings
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(v, str) for v in weight_map.values()):
        message = "weight_map must say for each tensor which file holds it; without it no shard is found"
        return None, [*findings, finding("bad-index", f"{path}: weight_map", message, download_again(path))]
    if not isinstance(index.get("metadata"), dict):
        message = "metadata is missing; Transformers stops with KeyError: 'metadata'"
        findings.append(finding("bad-index", f"{path}: metadata", message, 'add "metadata": {}'))
    named = sorted(set(weight_map.values()))
    missing = [name for name in named if not (folder / name).is_file()]
    if missing:
        message = f"{len(missing)} of {len(named)} shards that the index names are not in the folder"
        fix = f"hf download MODEL_ID {' '.join(missing[:3])} --local-dir {folder}"
        findings.append(finding("missing-shard", path, message, fix, names=missing))
    stray = [name for name in on_disk if name not in named]
    if stray:
        message = "shards lie in the folder that the index does not name; nothing loads them"
        fix = "delete them, or take the index that belongs to them"
        findings.append(finding("stray-shard", path, message, fix, severity="warning", names=stray))
    files = read_files([folder / name for name in named if name not in missing], findings)
    findings += _check_keys(path, weight_map, files)
    if len(files) < len(named):
        return None, findings
    tensors = _join(folder, files, findings)
    findings += _check_total(path, index, tensors)
    return tensors, findings


def _check_keys(path: Path, weight_map: dict[str, str], files: dict[str, dict[str, Tensor]]) -> list[Finding]:
    """Compare the index with the headers of the shards that could be read."""
    findings = []
    absent = [f"{k} ({file})" for k, file in weight_map.items() if file in files and k not in files[file]]
    if absent:
        message = f"{len(absent)} tensors are not in the shard that the index gives: index and shards are of two saves"
        findings.append(finding("key-not-in-shard", path, message, download_again(path), names=absent))
    places = Counter(name for held in files.values() for name in held)
    twice = [f"{n} ({listed(f for f in files if n in files[f])})" for n, count in places.items() if count > 1]
    if twice:
        message = f"{len(twice)} tensors are in several shards; which one is loaded depends on the program"
        fix = "remove the shards of the older save, or save the model again"
        findings.append(finding("duplicate-key", path, message, fix, names=twice))
    extra = [f"{name} ({file})" for file, held in files.items() for name in held if name not in weight_map]
    if extra:
        message = f"{len(extra)} tensors are in the shards but not in the index; some programs load them, others do not"
        findings.append(finding("unindexed-key", path, message, download_again(path), severity="warning", names=extra))
    return findings


def _check_total(path: Path, index: dict[str, Any], tensors: dict[str, Tensor]) -> list[Finding]:
    metadata = index.get("metadata")
    stated = metadata.get("total_size") if isinstance(metadata, dict) else None
    held = sum(tensor.end - tensor.start for tensor in tensors.values())
    if stated is None or stated == held:
        return []
    message = (
        f"total_size is {json.dumps(stated)}, the shards hold {held} bytes; programs that plan memory by it are wrong"
    )
    fix = f'write "total_size": {held}'
    return [finding("wrong-total-size", f"{path}: metadata.total_size", message, fix, severity="warning")]


def _check_pickles(folder: Path, path: Path) -> list[Finding]:
    """Check that pickle files are there and not empty; opening them could run code."""
    findings: list[Finding] = []
    paths = [path]
    if path.suffix == ".json":
        weight_map = (read_json_object(path, findings) or {}).get("weight_map")
        names = {str(name) for name in weight_map.values()} if isinstance(weight_map, dict) else set()
        missing = sorted(name for name in names if not (folder / name).is_file())
        if missing:
            message = f"{len(missing)} of {len(names)} shards that the index names are not in the folder"
            fix = f"hf download MODEL_ID {' '.join(missing[:3])} --local-dir {folder}"
            findings.append(finding("missing-shard", path, message, fix, names=missing))
        paths = [folder / name for name in sorted(names - set(missing))]
    findings += [problem for shard in paths if (problem := small_file_problem(shard))]
    message = "pickle files can run code when they are loaded, and their content is not checked here"
    fix = "save the model as safetensors (llamafactory-cli export does), then check it again"
    return [*findings, finding("pickle-weights", path, message, fix, severity="warning")]
