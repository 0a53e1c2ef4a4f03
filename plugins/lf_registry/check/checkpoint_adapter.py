"""Check a PEFT adapter folder by its config and its header. No weight is read."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import did_you_mean
from ..tensors import Tensor
from .checkpoint_files import download_again, finding, read_json_object, small_file_problem
from .checkpoint_weights import GATHER, read_files
from .report import Finding
from .source import Source

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PICKLE = "adapter_model.bin"
#: ``base_model.model.NAME.lora_A.weight``; embeddings have ``lora_embedding_A`` and no ``.weight``.
_LORA = re.compile(r"^(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<kind>embedding_)?(?P<side>[AB])(?:\.weight)?$")


def check_adapter(folder: Path) -> tuple[list[Finding], list[str]]:
    """Check an adapter folder.

    Returns:
        The findings, and sentences on what was not checked.
    """
    findings: list[Finding] = []
    notes: list[str] = []
    path = folder / CONFIG
    config = None
    if path.is_file():
        config = read_json_object(path, findings)
    else:
        message = f"there is no {CONFIG}, so PEFT cannot tell which method this adapter is"
        findings.append(finding("no-adapter-config", folder, message, "name the folder that has it, or copy it here"))
    if config is not None:
        findings += _check_config(path, config)
    if (folder / WEIGHTS).is_file():
        tensors = read_files([folder / WEIGHTS], findings).get(WEIGHTS)
        if tensors is not None:
            findings += _check_tensors(folder / WEIGHTS, config or {}, tensors, notes)
    elif (folder / _PICKLE).is_file():
        notes.append(f"{folder / _PICKLE}: LLaMA-Factory loads pickle files, but their content was not checked")
        problem = small_file_problem(folder / _PICKLE)
        message = "a pickle file can run code when it is loaded, and its content is not checked here"
        fix = "save the adapter again with a current PEFT, which writes safetensors"
        findings += [problem] if problem else []
        findings.append(finding("pickle-weights", folder / _PICKLE, message, fix, severity="warning"))
    else:
        message = f"there are no weights: neither {WEIGHTS} nor {_PICKLE}"
        partitions = any(folder.glob("global_step*/*_states.pt"))
        fix = GATHER if partitions else f"hf download ADAPTER_ID {WEIGHTS} --local-dir {folder}; or train again"
        code = "only-deepspeed-partitions" if partitions else "no-weights"
        findings.append(finding(code, folder, message, fix))
    return findings, notes


def _check_config(path: Path, config: dict[str, Any]) -> list[Finding]:
    findings = []
    known = _methods()
    kind = config.get("peft_type")
    if kind not in known:
        hint = did_you_mean(str(kind), known, kind="methods", most=6)
        message = f"PEFT knows no peft_type {kind!r}; {hint}"
        findings.append(finding("unknown-peft-type", f"{path}: peft_type", message, "correct it, or use a newer PEFT"))
    base = config.get("base_model_name_or_path")
    where = f"{path}: base_model_name_or_path"
    if not isinstance(base, str) or not base:
        message = "the base model is not named; LLaMA-Factory takes the recipe's, vLLM and PEFT need it here"
        fix = "write the Hub id of the model that was trained"
        findings.append(finding("no-base-model", where, message, fix, severity="warning"))
    elif base.startswith((".", "/", "~")) and not Path(base).expanduser().is_dir():
        message = f"the base model {base} is not on this machine; LLaMA-Factory takes the recipe's, others look there"
        fix = "write the Hub id of the model that was trained, or the folder's place on this machine"
        findings.append(finding("no-base-model", where, message, fix, severity="warning"))
    if kind == "LORA" and not _positive(config.get("r")):
        message = f"r is {json.dumps(config.get('r'))}; a LoRA rank is a whole number above 0"
        findings.append(finding("bad-adapter-config", f"{path}: r", message, "write the rank that was trained with"))
    return findings


@cache
def _methods() -> list[str]:
    """PEFT's names of its methods, from its source: importing it takes seconds."""
    classes = Source({"peft": ["utils/peft_types.py"]})
    return [str(value) for value in classes.members(("peft", "PeftType")).values()]


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _check_tensors(path: Path, config: dict[str, Any], tensors: dict[str, Tensor], notes: list[str]) -> list[Finding]:
    if not tensors:
        message = f"the adapter is empty ({path.stat().st_size} bytes, 0 tensors): what was trained is not in it"
        return [finding("no-tensors", path, message, f"with ZeRO-3: {GATHER}; then train again")]
    empty = [name for name, tensor in tensors.items() if 0 in tensor.shape]
    if empty:
        message = f"{len(empty)} of {len(tensors)} tensors have no values: ZeRO-3 saved its partitions, not the weights"
        return [finding("empty-tensors", path, message, GATHER, names=empty)]
    if config.get("peft_type") != "LORA":
        notes.append(f"{path}: pairs and ranks are compared for LoRA only, not for {config.get('peft_type')}")
        return []
    return _check_lora(path, config, tensors, notes)


def _check_lora(path: Path, config: dict[str, Any], tensors: dict[str, Tensor], notes: list[str]) -> list[Finding]:
    """Compare each A (rank x inputs) with its B (outputs x rank), and both with the config's rank."""
    sides: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if match := _LORA.match(name):
            sides.setdefault(match["module"], {})[match["side"]] = tensor
    findings = []
    if not sides:
        message = "no LoRA matrices in the file, though peft_type is LORA; PEFT would load nothing"
        return [finding("no-tensors", path, message, download_again(path), names=list(tensors))]
    alone = [f"{module}: lora_{next(iter(held))} alone" for module, held in sides.items() if len(held) == 1]
    if alone:
        message = (
            f"{len(alone)} of {len(sides)} modules have only one of lora_A and lora_B, so they change nothing or noise"
        )
        findings.append(finding("lora-without-pair", path, message, "save the adapter again", names=alone))
    pairs = {module: held for module, held in sides.items() if len(held) == 2}
    unequal, wrong = [], []
    if config.get("target_parameters"):
        notes.append(f"{path}: ranks were not compared, target_parameters stores the experts' ranks together")
        pairs = {}
    for module, held in pairs.items():
        a, b = held["A"].shape[0], (held["B"].shape[1] if len(held["B"].shape) > 1 else None)
        expected = _rank(module, config)
        if a != b:
            unequal.append(f"{module}: lora_A {list(held['A'].shape)}, lora_B {list(held['B'].shape)}")
        elif _positive(expected) and a != expected:
            wrong.append(f"{module}: rank {a} in the file, {expected} in {CONFIG}")
    if unequal:
        message = f"{len(unequal)} pairs do not fit together: the rank of lora_A is not that of lora_B"
        findings.append(finding("lora-rank-mismatch", path, message, "save the adapter again", names=unequal))
    if wrong:
        message = f"{len(wrong)} pairs have another rank than {CONFIG} says (r, rank_pattern); loading stops"
        fix = f"put the {CONFIG} of the same training beside the weights, or correct r"
        findings.append(finding("wrong-rank", path, message, fix, names=wrong))
    return findings


def _rank(module: str, config: dict[str, Any]) -> Any:
    """The rank that PEFT gives to a module: the first matching entry of ``rank_pattern``, else ``r``."""
    pattern = config.get("rank_pattern")
    if not isinstance(pattern, dict) or not pattern:
        return config.get("r")
    from peft.utils.other import get_pattern_key

    return pattern.get(get_pattern_key(pattern.keys(), module), config.get("r"))
