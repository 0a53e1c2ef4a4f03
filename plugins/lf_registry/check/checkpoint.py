"""Check a model or adapter folder before it is trained, merged or published: files, headers, names, shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .checkpoint_adapter import CONFIG as ADAPTER_CONFIG
from .checkpoint_adapter import check_adapter
from .checkpoint_config import check_small_files, read_config
from .checkpoint_files import finding
from .checkpoint_model import compare_with_model
from .checkpoint_tokenizer import check_tokenizer
from .checkpoint_weights import SINGLE, check_weights
from .report import Finding

#: What browsers and download tools call a file that is not complete.
_PARTIAL = ("*.incomplete", "*.part", "*.crdownload", "*.aria2", ".cache/huggingface/download/**/*.incomplete")


def check_model_folder(folder: Path, *, adapter: bool = False, compare: bool = True) -> tuple[list[Finding], list[str]]:
    """Check a folder with a model or a PEFT adapter. Headers are read, weights are not.

    Args:
        folder: a local folder.
        adapter: it must be an adapter; otherwise one is recognized by its ``adapter_config.json``.
        compare: let Transformers compare names and shapes with the model; importing it takes seconds, and not needed
            where it is known that they fit.

    Returns:
        All findings, errors first, and sentences on what was not checked.
    """
    folder = Path(folder)
    if not folder.is_dir():
        message = "there is no such folder"
        return [finding("no-such-folder", folder, message, "correct the path; it starts at the current folder")], []
    findings = _partial_downloads(folder)
    notes: list[str] = []
    has_adapter = (folder / ADAPTER_CONFIG).is_file()
    if adapter or has_adapter:
        found, said = check_adapter(folder)
        tokenizer, more = check_tokenizer(folder, None, needed=False)
        findings += [*found, *tokenizer]
        notes += [*said, *more]
        if (folder / SINGLE).is_file():
            message = f"a model's weights beside an adapter: Transformers sees {ADAPTER_CONFIG} and ignores {SINGLE}"
            fix = "keep adapter and model in folders of their own"
            findings.append(finding("adapter-in-model-folder", folder, message, fix, severity="warning"))
    else:
        _check_model(folder, findings, notes, compare=compare)
    return sorted(findings, key=lambda found: found.severity), notes


def _check_model(folder: Path, findings: list[Finding], notes: list[str], *, compare: bool) -> None:
    values, config = read_config(folder, findings, notes, load=compare)
    vocabulary = _vocab_size(values, config)
    findings += check_small_files(folder, values, vocabulary)
    found, said = check_tokenizer(folder, vocabulary)
    findings += found
    notes += said
    tensors, found, said = check_weights(folder)
    findings += found
    notes += said
    if not compare:
        return
    if config is None or not tensors:
        if not (values or {}).get("auto_map"):
            notes.append(
                f"{folder}: names and shapes were not compared with the model: config or weights could not be read"
            )
    elif getattr(config, "quantization_config", None) is not None:
        notes.append(
            f"{folder}: a quantized checkpoint stores its weights under other names and shapes; only the headers were "
            "checked"
        )
    else:
        found, said = compare_with_model(folder, config, tensors)
        findings += found
        notes += said


def _vocab_size(values: dict[str, Any] | None, config: Any) -> int | None:
    """Rows of the embedding: of the text model, where there are several."""
    if config is not None:
        size = getattr(config.get_text_config(), "vocab_size", None)
    else:
        text = (values or {}).get("text_config")
        size = (text if isinstance(text, dict) and "vocab_size" in text else values or {}).get("vocab_size")
    return size if isinstance(size, int) else None


def _partial_downloads(folder: Path) -> list[Finding]:
    partial = sorted({str(path.relative_to(folder)) for pattern in _PARTIAL for path in folder.glob(pattern)})
    if not partial:
        return []
    message = "a download did not finish: parts of files are left over"
    fix = f"start it again, it goes on where it stopped: hf download MODEL_ID --local-dir {folder}"
    return [finding("partial-download", folder, message, fix, severity="warning", names=partial)]
