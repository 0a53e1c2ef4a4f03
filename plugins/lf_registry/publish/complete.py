"""Whether an artifact is whole: every file that a program will ask for is there, readable, and of one save."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..check.checkpoint import check_model_folder
from ..check.checkpoint_files import finding
from ..check.report import Finding
from ..errors import UserError
from .artifact import Artifact

_READ = 1 << 20
#: What the check of a folder finds and publishing treats otherwise: ``collect`` replaces the base's name or stops.
_NOT_HERE = ("no-base-model", "adapter-in-model-folder")
#: What a saved model never has, so that it means an unfinished write or download.
_LEFTOVER = ("*.part", "*.incomplete", "*.crdownload", "*.aria2", "*.tmp", "tmp-checkpoint-*")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
_EMBEDDINGS = re.compile(r"embed_tokens|wte|word_embeddings|trainable_tokens")


def complete(artifact: Artifact) -> tuple[list[Finding], list[str]]:
    """Check an artifact before anything goes up. Headers are read; weights only to compare them with a merge's report.

    Returns:
        All findings, errors (which forbid to publish it) first, and sentences on what was not checked.
    """
    folder = artifact.folder
    merge = list(_merge_report(artifact))
    as_merged = _stated(artifact) is not None and not merge and _unchanged(folder)
    found, notes = check_model_folder(folder, adapter=artifact.kind == "adapter", compare=not as_merged)
    findings = [_for_publishing(artifact, one) for one in found if one.code not in _NOT_HERE]
    findings = [one for one in findings if one.code != "partial-download"]
    findings += _leftovers(folder)
    findings += _tokenizer(artifact)
    findings += merge
    return sorted(findings, key=lambda one: one.severity), notes


def refuse_incomplete(findings: list[Finding]) -> None:
    """Stop when there is an error.

    Raises:
        UserError: lists all errors, each with what to do.
    """
    errors = [one for one in findings if one.severity == "error"]
    if errors:
        lines = [
            f"{one.where}: {one.message} ({'; '.join(one.details)})" if one.details else f"{one.where}: {one.message}"
            for one in errors
        ]
        raise UserError(
            [f"{line}; {one.fix}" for line, one in zip(lines, errors, strict=True)],
            hint="repair the folder, then run the same command again; nothing was uploaded",
        )


def _for_publishing(artifact: Artifact, one: Finding) -> Finding:
    """Say of weights that ZeRO-3 did not gather where the whole ones are."""
    if one.code not in ("empty-tensors", "no-tensors"):
        return one
    places = [artifact.folder, *sorted(artifact.folder.glob("checkpoint-*"), reverse=True)]
    place = next((place for place in places if any(place.glob("global_step*/*.pt"))), None)
    if place is None or artifact.kind != "adapter":
        return one
    return replace(
        one, fix=f"the values are in its partitions: lf-registry export-adapter {place} --out DIR; then publish DIR"
    )


def _leftovers(folder: Path) -> Iterator[Finding]:
    """Find what an interrupted save, download or merge has left."""
    names = sorted(
        {path.name for pattern in (*_LEFTOVER, *(f".{p}" for p in _LEFTOVER)) for path in folder.glob(pattern)}
    )
    names += sorted(str(p.relative_to(folder)) for p in folder.glob(".cache/huggingface/download/**/*.incomplete"))
    if names:
        message = "half-written files: a save or a download was interrupted here, or is still running"
        fix = f"wait for it, or do it again; if the folder is whole without them: rm {' '.join(names[:4])} in {folder}"
        yield finding("leftover", folder, message, fix, names=names)
    real = folder.resolve()
    for place in sorted(real.parent.glob(f".{_escaped(real.name)}.merging-*")):
        if _is_locked(place):
            message = f"a merge into this folder is running (it writes to {place})"
            yield finding("merge-running", folder, message, "wait until it has finished")
        else:
            message = f"a merge into this folder was stopped and has left {place}; what is published is the older one"
            fix = f"run the merge again, or: rm -r {place}"
            yield finding("merge-stopped", folder, message, fix, severity="warning")


def _escaped(name: str) -> str:
    import glob

    return glob.escape(name)


def _is_locked(folder: Path) -> bool:
    """Whether the merge that made this folder is alive: it holds a lock as long as it runs."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _tokenizer(artifact: Artifact) -> Iterator[Finding]:
    """A model without a tokenizer is found by the folder's check; here the adapter's, and the chat template."""
    folder = artifact.folder
    if not has_tokenizer(folder) and artifact.kind == "adapter":
        config = artifact.facts.get("adapter_config", {})
        trained = [str(name) for name in config.get("modules_to_save") or [] if _EMBEDDINGS.search(str(name))]
        trained += ["trainable_token_indices"] if config.get("trainable_token_indices") else []
        if trained:
            message = (
                f"no tokenizer, but the adapter trains the vocabulary ({', '.join(trained)}), which only its own fits"
            )
            fix = f"copy the tokenizer's files of the training's output folder to {folder}"
            yield finding("no-tokenizer", folder, message, fix)
        else:
            message = "no tokenizer: it will be used with the base model's, and with the base model's chat template"
            fix = f"copy the tokenizer's files and chat_template.jinja of the training's output folder to {folder}"
            yield finding("no-tokenizer", folder, message, fix, severity="warning")
        return
    inline = artifact.facts.get("tokenizer_config", {}).get("chat_template")
    if not inline and not (folder / "chat_template.jinja").is_file() and not (folder / "chat_template.json").is_file():
        message = "no chat template: Transformers and vLLM refuse to chat with it, Ollama guesses"
        fix = "lf-registry merge --template NAME, or copy chat_template.jinja; a base model needs none"
        yield finding("no-chat-template", folder, message, fix, severity="warning")


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer, and not only its settings."""
    return any((folder / name).is_file() for name in _TOKENIZERS) or any(folder.glob("*.tiktoken"))


def _stated(artifact: Artifact) -> dict[str, Any] | None:
    """The weight files of a merge, with sizes and hashes, as its report says them."""
    report = artifact.facts.get("merge_report")
    tensors = report.get("tensors") if isinstance(report, dict) else None
    stated = tensors.get("files") if isinstance(tensors, dict) else None
    return stated if artifact.kind == "model" and isinstance(stated, dict) else None


def _unchanged(folder: Path) -> bool:
    """Whether the config is that of the merge: not written after its report, which the merge writes last."""
    try:
        return (folder / "config.json").stat().st_mtime_ns <= (folder / "merge_report.json").stat().st_mtime_ns
    except OSError:
        return False


def _merge_report(artifact: Artifact) -> Iterator[Finding]:
    """Compare the weights with the hashes that the merge wrote after reading its files back."""
    stated = _stated(artifact)
    if stated is None:
        return
    path = artifact.folder / "merge_report.json"
    again = "merge again; or, if the change is meant, delete merge_report.json, which no longer says how this was made"
    held = {weights.name for weights in artifact.weights}
    different = sorted(held ^ set(stated))
    if different:
        message = f"the merge wrote other weight files than there are: {', '.join(different)}"
        yield finding("changed-after-merge", path, message, again)
    same = [weights for weights in artifact.weights if isinstance(stated.get(weights.name), dict)]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        wrong = [name for name in pool.map(lambda file: _changed(file, stated[file.name]), same) if name]
    if wrong:
        message = "the weights are not those that the merge wrote and verified: they were changed or damaged since"
        yield finding("changed-after-merge", path, message, again, names=wrong)


def _changed(path: Path, stated: dict[str, Any]) -> str | None:
    if path.stat().st_size != stated.get("bytes"):
        return f"{path.name}: {path.stat().st_size} bytes, the merge wrote {stated.get('bytes')}"
    import xxhash

    digest = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as stream:
        while piece := stream.read(_READ):
            digest.update(piece)
    return None if digest.hexdigest() == stated.get("xxh3_128") else f"{path.name}: other content (xxh3)"
