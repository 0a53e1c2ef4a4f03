"""Check ``config.json`` of a model folder, and the small JSON files beside it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from ..errors import did_you_mean
from .checkpoint_files import finding, listed, one_line, read_json_object
from .report import Finding

#: Files that Transformers reads when they exist.
OPTIONAL_JSON = ("generation_config.json", "special_tokens_map.json", "added_tokens.json", "preprocessor_config.json")


def read_config(
    folder: Path, findings: list[Finding], notes: list[str], *, load: bool = True
) -> tuple[dict[str, Any] | None, Any]:
    """Read ``config.json``.

    Args:
        folder: the model folder.
        findings: what is wrong is added here.
        notes: what was not checked is added here.
        load: make Transformers' object of it as well.

    Returns:
        The JSON object and the object that Transformers makes of it; each None when it cannot be had.
    """
    path = folder / "config.json"
    if not path.is_file():
        message = "there is no config.json, so nothing can tell which model this is"
        fix = "name the folder that has config.json in it, or download it: hf download MODEL_ID config.json"
        findings.append(finding("no-config", folder, message, fix))
        return None, None
    values = read_json_object(path, findings)
    if values is None:
        return None, None
    if not values.get("architectures"):
        message = "architectures is missing: LLaMA-Factory and Transformers load the model, vLLM and others do not"
        fix = 'add the class, for example "architectures": ["LlamaForCausalLM"]'
        findings.append(finding("no-architectures", f"{path}: architectures", message, fix, severity="warning"))
    if values.get("auto_map"):
        findings += _remote_code(folder, values["auto_map"], notes)
        return values, None
    return values, _load(path, values, findings) if load else None


def _remote_code(folder: Path, auto_map: Any, notes: list[str]) -> list[Finding]:
    """Check that the files with the model's own code exist; they are not run."""
    entries = auto_map.values() if isinstance(auto_map, dict) else []
    references = {name for entry in entries for name in (entry if isinstance(entry, list) else [entry]) if name}
    files = {f"{str(name).split('.')[0]}.py" for name in references if "--" not in str(name)}
    elsewhere = sorted({str(name).split("--", maxsplit=1)[0] for name in references if "--" in str(name)})
    notes.append(
        f"{folder / 'config.json'} has auto_map: the model brings its own code (trust_remote_code), which is not run "
        "here, so the weights were not compared with the model"
    )
    if elsewhere:
        notes.append(f"the model's code is in other repositories and was not looked at: {listed(elsewhere)}")
    missing = sorted(name for name in files if not (folder / name).is_file())
    if not missing:
        return []
    message = f"names code that is not in the folder: {listed(missing)}; the model cannot be built without it"
    fix = f"hf download MODEL_ID {' '.join(missing)} --local-dir {folder}"
    return [finding("missing-code", f"{folder / 'config.json'}: auto_map", message, fix, names=missing)]


def _load(path: Path, values: dict[str, Any], findings: list[Finding]) -> Any:
    """Make Transformers' configuration object; it checks types and ranges itself."""
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    where = f"{path}: model_type"
    model_type = values.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        message = "model_type is missing, so Transformers cannot tell which model this is"
        findings.append(finding("no-model-type", where, message, 'add it, for example "model_type": "llama"'))
        return None
    if model_type not in CONFIG_MAPPING:
        known = did_you_mean(model_type, CONFIG_MAPPING.keys(), kind="model types", most=6)
        message = f"the installed Transformers knows no model_type {model_type!r}; {known}"
        fix = "correct model_type, or use a Transformers that has this model"
        findings.append(finding("unknown-model-type", where, message, fix))
        return None
    try:
        with warnings.catch_warnings(action="ignore"):
            return AutoConfig.from_pretrained(path.parent, local_files_only=True)
    except Exception as error:  # each family has checks and error types of its own
        message = f"Transformers refuses it: {one_line(error)}"
        findings.append(finding("bad-config", path, message, "correct what the message names"))
        return None


def check_small_files(folder: Path, config: dict[str, Any] | None, vocabulary: int | None) -> list[Finding]:
    """Check the optional JSON files, and that the special token ids exist.

    Args:
        folder: the model folder.
        config: the content of ``config.json``.
        vocabulary: rows of the embedding (``vocab_size``), None when it is not known.
    """
    findings: list[Finding] = []
    sources = {"config.json": config}
    for name in OPTIONAL_JSON:
        if (folder / name).is_file():
            sources[name] = read_json_object(folder / name, findings)
    for name in ("config.json", "generation_config.json"):
        for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
            value = (sources.get(name) or {}).get(key)
            ids = [number for number in (value if isinstance(value, list) else [value]) if isinstance(number, int)]
            beyond = [number for number in ids if vocabulary is not None and number >= vocabulary]
            if beyond:
                message = f"token id {listed(map(str, beyond))}, but the ids end at {vocabulary - 1} (vocab_size)"  # type: ignore[operator]
                fix = "put the tokenizer's id here, or correct vocab_size"
                findings.append(finding("token-id-out-of-range", f"{folder / name}: {key}", message, fix))
    return findings
