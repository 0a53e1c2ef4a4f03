"""A whole card: from a folder and its recipe to the text of ``README.md``, or all the reasons why not."""

from __future__ import annotations

from typing import Any

from ...errors import UserError
from ...recipes import Recipe
from ...templates import load_templates
from ..artifact import Artifact
from .base_model import base_license, find_base_model
from .body import Content, sections
from .data import datasets_of, languages
from .front_matter import change, newline_of, parse, split
from .licenses import License, contradiction, license_from_metadata, unknown_identifier, wrong_name
from .metadata import LICENSE_KEYS, merged, metadata, problems_of
from .sections import is_generated, new_body, renew
from .training import training_facts
from .usage import usage_of


def make_card(
    artifact: Artifact,
    recipe: Recipe | None,
    repo_id: str,
    *,
    license: str | None,
    public: bool,
    existing: str | None,
) -> tuple[str, list[str]]:
    """Write the card, or renew one that stands there already.

    A draft that the Trainer or PEFT saved is replaced. In any other card the generated sections are renewed, missing
    metadata is added, and every other byte stays; a card without our markers gets two sections at its end.

    Args:
        artifact: what is published.
        recipe: what it was trained with, when that is known.
        repo_id: where it will be, ``OWNER/NAME``.
        license: the Hub's identifier of the licence that was asked for; None for the base model's.
        public: whether it will be visible to all: then a licence's rules for names and notices must be kept.
        existing: the text of the README.md that is there, or None.

    Returns:
        The text, and warnings: one sentence each.

    Raises:
        UserError: lists everything for which the Hub, or a licence, would refuse the card.
    """
    values = recipe.values if recipe else {}
    existing = (existing or "").removeprefix("\ufeff")
    draft = bool(existing) and is_generated(existing)
    kept = "" if draft or not existing.strip() else existing
    warnings = ["README.md: the draft that the training saved is replaced by a card"] if draft else []
    block, body = split(kept)
    own = parse(block or "")

    problems: list[str] = []
    hints: list[str] = []
    base, chosen, inherited = "", License("other"), None
    try:
        base = find_base_model(artifact.base_model, values.get("model_name_or_path"), own.get("base_model"))
    except UserError as error:
        problems += error.problems
        hints += [error.hint] if error.hint else []
    else:
        inherited, found = base_license(base)
        warnings += found
    try:
        chosen = _license(license, own, inherited, base)
    except UserError as error:
        problems += error.problems if base or license else []
        hints += [error.hint] if error.hint and base else []
    content = _content(artifact, values, repo_id, base, chosen, inherited, recipe is not None)
    rules = [*_rules(content), *_unnamed_language(content, own)]
    problems += [text for text, forbidden in rules if forbidden and public]
    warnings += [text for text, forbidden in rules if not (forbidden and public)]
    if not base:
        raise UserError(problems, hint="; ".join(hints))

    new = metadata(content, values)
    texts = sections(content)
    if kept:
        changes = merged(own, new)
        if license is not None:
            changes |= {key: new.get(key) for key in LICENSE_KEYS if own.get(key) != new.get(key)}
        newline = newline_of(kept)
        block = change(block or "", changes, newline) if changes or block is None else block
        body, found = renew(body, texts, newline)
        problems += found
        gap = newline if split(kept)[0] is None else ""
        text = f"---{newline}{block}{newline}---{newline}{gap}{body}"
    else:
        text = _new_card(new, new_body(content.name, texts))
    problems += problems_of(parse(split(text)[0] or ""))
    problems += _missing_notices(content, text, warnings, public=public)
    if problems:
        raise UserError(list(dict.fromkeys(problems)), hint="; ".join(hints) or None)
    return text, list(dict.fromkeys(warnings))


def _new_card(values: dict[str, Any], body: str) -> str:
    from huggingface_hub import ModelCard, ModelCardData
    from huggingface_hub.utils import yaml_dump

    card = ModelCard(f"---\n{yaml_dump(values, sort_keys=False).strip()}\n---\n\n{body}")
    assert isinstance(card.data, ModelCardData)
    return str(card)


def _license(asked: str | None, own: dict[str, Any], base: License | None, base_name: str) -> License:
    """The licence of the card: what was asked for, else what README.md says, else the base model's.

    Raises:
        UserError: nobody knows one, it is none of the Hub's, or the base model's terms do not allow it.
    """
    written = license_from_metadata(own, "README.md")
    if asked == "other":
        if written is None or written.id != "other":
            raise UserError(
                "--license other: its name and text are not known",
                hint="write `license: other`, `license_name:` and `license_link:` into the metadata of README.md",
            )
        chosen: License | None = written
    else:
        chosen = License(asked, source="--license") if asked else written or base
    if chosen is None:
        raise UserError(
            f"license: nobody knows the licence of the base model {base_name}: its card cannot be read here, and the "
            "table of known models has no such name. Without a licence nobody may use the model",
            hint=f"read it at https://huggingface.co/{base_name} and pass its identifier: --license ID",
        )
    if problem := unknown_identifier(chosen.id) or (contradiction(base, chosen) if base else None):
        raise UserError(problem)
    return base if base and base.key == chosen.key else chosen


def _content(
    artifact: Artifact,
    values: dict[str, Any],
    repo_id: str,
    base: str,
    chosen: License,
    inherited: License | None,
    recipe: bool,
) -> Content:
    template = values.get("template") or artifact.facts.get("merge_report", {}).get("template") or ""
    registered = load_templates().get(str(template))
    persona = str(values.get("default_system") or (registered.default_system if registered else ""))
    datasets, share = datasets_of(values)
    return Content(
        artifact,
        repo_id,
        base,
        str(template),
        persona,
        training_facts(artifact, values, base),
        tuple(datasets),
        usage_of(artifact, values),
        chosen,
        inherited,
        tuple(languages(share, persona)),
        recipe,
    )


def _rules(content: Content) -> list[tuple[str, bool]]:
    """What the licences say beyond their name: a sentence, and whether it forbids publishing for all to see."""
    found = []
    for terms in {content.license.terms, *([content.base_license.terms] if content.base_license else [])}:
        if problem := wrong_name(terms, content.repo_id):
            found.append((problem, True))
        if terms.noderivatives:
            found.append((f"license: {terms.title} does not allow sharing a changed model", True))
        if terms.unread:
            found.append(
                (f"license: read the {terms.title} of {content.base}: what it asks of names and notices", False)
            )
        files = [path.name.upper() for path in content.artifact.folder.iterdir()]
        if terms.notices and not any(name.startswith(("LICENSE", "NOTICE")) for name in files):
            text = f"license: the {terms.title} asks for a copy of itself beside the model: put LICENSE and NOTICE"
            found.append((f"{text} into {content.artifact.folder}", False))
    return found


def _unnamed_language(content: Content, own: dict[str, Any]) -> list[tuple[str, bool]]:
    if content.languages or own.get("language"):
        return []
    return [
        ("language: was not recognized; write it into the metadata of README.md, for example `language: [en]`", False)
    ]


def _missing_notices(content: Content, text: str, warnings: list[str], *, public: bool) -> list[str]:
    """The notices of the licence that somebody took out of the card."""
    plain = " ".join(text.split())
    found = [
        f"README.md: {notice!r} is missing, which the {content.license.title} asks for; write it into the card"
        for notice in content.notices
        if " ".join(notice.split()) not in plain
    ]
    if not public:
        warnings += found
        return []
    return found
