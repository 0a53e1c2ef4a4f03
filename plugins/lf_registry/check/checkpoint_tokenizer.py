"""Check the tokenizer of a model folder: its files, its ids against the embedding, and the chat template."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .checkpoint_files import download_again, finding, one_line, read_json_object, small_file_problem
from .report import Finding

#: Files that hold a vocabulary; one of them is enough, except ``vocab.json``, which needs ``merges.txt``.
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


def check_tokenizer(folder: Path, vocab_size: int | None, *, needed: bool = True) -> tuple[list[Finding], list[str]]:
    """Check the tokenizer's files.

    Args:
        folder: the model folder.
        vocab_size: rows of the embedding; None when not known.
        needed: whether a folder without a tokenizer is an error (an adapter may be without).

    Returns:
        The findings, and sentences on what was not checked.
    """
    findings: list[Finding] = []
    notes: list[str] = []
    settings: dict[str, Any] = {}
    if (folder / "tokenizer_config.json").is_file():
        settings = read_json_object(folder / "tokenizer_config.json", findings) or {}
    present = [folder / name for name in _VOCABULARIES if (folder / name).is_file()] + sorted(folder.glob("*.tiktoken"))
    if settings.get("auto_map"):
        notes.append(f"{folder}: the tokenizer brings its own code (auto_map), which was not run")
    elif not present and needed:
        message = "there is no tokenizer (tokenizer.json, tokenizer.model or vocab.json with merges.txt)"
        fix = f"copy it from the base model: hf download MODEL_ID --include 'tokenizer*' --local-dir {folder}"
        findings.append(finding("no-tokenizer", folder, message, fix))
    findings += [problem for path in present if path.name != "tokenizer.json" and (problem := small_file_problem(path))]
    names = {path.name for path in present}
    if (
        "vocab.json" in names
        and not names & {"tokenizer.json", "tokenizer.model"}
        and not (folder / "merges.txt").is_file()
    ):
        message = "merges.txt is missing: a vocab.json alone does not say how text is split"
        findings.append(finding("no-tokenizer", folder / "vocab.json", message, "copy merges.txt from the base model"))
    templates = _chat_templates(folder, settings)
    findings += _check_templates(templates)
    if "tokenizer.json" in names:
        base, added = _vocabulary(folder / "tokenizer.json", findings)
        added |= _added(settings)
        if vocab_size is not None:
            findings += _check_ids(folder, base, added, vocab_size, used=_used(settings, templates))
    elif present:
        notes.append(f"{folder}: no tokenizer.json, so the vocabulary's size was not compared with the model's")
    return findings, notes


def _vocabulary(path: Path, findings: list[Finding]) -> tuple[dict[str, int], dict[str, int]]:
    """The ids of the vocabulary proper and of the added tokens; loads the file with the tokenizers library."""
    from tokenizers import Tokenizer

    if read_json_object(path, findings) is None:
        return {}, {}
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        message = f"the tokenizers library cannot load it: {one_line(error)}"
        findings.append(finding("bad-tokenizer", path, message, download_again(path)))
        return {}, {}
    base = tokenizer.get_vocab(with_added_tokens=False)
    everything = tokenizer.get_vocab(with_added_tokens=True)
    return base, {text: number for text, number in everything.items() if text not in base}


def _added(settings: dict[str, Any]) -> dict[str, int]:
    entries = settings.get("added_tokens_decoder")
    found = {}
    for number, entry in (entries if isinstance(entries, dict) else {}).items():
        if re.fullmatch(r"\d{1,12}", number) and isinstance(entry, dict) and isinstance(entry.get("content"), str):
            found[entry["content"]] = int(number)
    return found


def _used(settings: dict[str, Any], templates: dict[str, str]) -> str:
    """All text in which a special token is certain to be met: the settings' own tokens and the chat templates."""
    named = []
    for key in ("bos_token", "eos_token", "pad_token", "unk_token"):
        value = settings.get(key)
        named.append(value.get("content", "") if isinstance(value, dict) else value or "")
    return "\n".join([*map(str, named), *templates.values()])


def _check_ids(
    folder: Path, base: dict[str, int], added: dict[str, int], vocab_size: int, *, used: str
) -> list[Finding]:
    """Compare the ids with the rows of the embedding. An id without a row stops training with an index error.

    An added token that nothing uses is only a warning: Gemma 3's text models ship with one.
    """
    beyond = {text: number for text, number in (base | added).items() if number >= vocab_size}
    if not beyond:
        return []
    certain = [text for text in beyond if text in base or text in used]
    highest = max(beyond.values())
    message = (
        f"{len(beyond)} token ids have no row in the embedding: the highest is {highest}, vocab_size is {vocab_size}; "
        + ("training stops with `index out of range`" if certain else "a text with such a token stops the training")
    )
    fix = "take the tokenizer that belongs to the model, or train with resize_vocab: true"
    names = [f"{text} = {number}" for text, number in sorted(beyond.items(), key=lambda item: item[1])]
    severity = "error" if certain else "warning"
    where = folder / "tokenizer.json"
    return [finding("vocabulary-too-large", where, message, fix, severity=severity, names=names)]  # type: ignore[arg-type]


def _chat_templates(folder: Path, settings: dict[str, Any]) -> dict[str, str]:
    """Where a chat template stands -> its text."""
    found = {}
    paths = [folder / "chat_template.jinja", *sorted((folder / "additional_chat_templates").glob("*.jinja"))]
    for path in paths:
        if path.is_file():
            found[str(path)] = path.read_text(encoding="utf-8", errors="replace")
    inline = settings.get("chat_template")
    where = f"{folder / 'tokenizer_config.json'}: chat_template"
    if isinstance(inline, str):
        found[where] = inline
    for entry in inline if isinstance(inline, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("template"), str):
            found[f"{where}, {entry.get('name')}"] = entry["template"]
    return found


def _check_templates(templates: dict[str, str]) -> list[Finding]:
    """Compile each chat template as Transformers does, with its extra tags."""
    findings = []
    for where, text in templates.items():
        if "\ufffd" in text and where.endswith(".jinja"):
            message = "not UTF-8, so the chat template holds replacement characters"
            findings.append(finding("bad-chat-template", where, message, "save the file as UTF-8"))
            continue
        if _is_plain_jinja(text):
            continue
        import jinja2
        from transformers.utils.chat_template_utils import _compile_jinja_template

        try:
            _compile_jinja_template(text)
        except jinja2.TemplateSyntaxError as error:
            message = f"the chat template does not parse: line {error.lineno}: {error.message}; serving it stops there"
            fix = f"correct line {error.lineno}"
            findings.append(finding("bad-chat-template", where, message, fix))
    return findings


def _is_plain_jinja(text: str) -> bool:
    """Whether Jinja compiles it without Transformers' extra tags, as most are; importing Transformers takes seconds."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"]).from_string(text)
    except jinja2.TemplateSyntaxError:
        return False
    return True
