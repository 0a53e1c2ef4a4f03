"""A whole card: from a folder and its recipe to the text of ``README.md``, or all the reasons why not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import UserError
from ...recipes import Recipe
from ...templates import load_templates
from ..artifact import Artifact
from ..base_model import find_base_model
from .base_license import base_license
from .body import Content, sections
from .data import USES, datasets_of, languages
from .front_matter import change, join, newline_of, parse, split
from .licenses import License
from .metadata import LICENSE_KEYS, merged, metadata, problems_of
from .rules import choose_license, missing_notices, rules
from .samples import Comparison, read_comparison
from .sections import answered_by, is_generated, new_body, renew
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
    answers: bool = True,
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
        answers: show the answers of a comparison; a checkpoint's branch has the run's card, and other weights.

    Returns:
        The text, and warnings: one sentence each.

    Raises:
        UserError: lists everything for which the Hub, or a licence, would refuse the card.
    """
    values = recipe.values if recipe else {}
    existing = (existing or "").removeprefix("\ufeff")
    found = _Found()
    if existing.strip() and is_generated(existing):
        found.warnings.append("README.md: the draft that the training saved is replaced by a card")
        existing = ""
    own = parse(split(existing)[0] or "")
    found.problems += _repository_problems(repo_id)
    base, chosen, inherited = _base_and_license(artifact, values, own, license, found)
    content = _content(artifact, values, repo_id, base, chosen, inherited, recipe is not None)
    if not answers:
        content = replace(content, comparison=Comparison())
    for text, forbidden in rules(content, own):
        found.add(text, forbidden=forbidden and public)
    if not base:
        found.problems += problems_of({"license": "other", "license_name": "x", "license_link": "x"} | own)
        found.stop()

    new, texts = metadata(content, values), sections(content)
    if existing.strip():
        replaced = [key for key in LICENSE_KEYS if license is not None and own.get(key) != new.get(key)]
        changes = merged(own, new) | {key: new.get(key) for key in replaced}
        card = _renewed(existing, changes, texts, content.comparison, found)
    else:
        card = _new_card(new, new_body(content.name, texts))
    invalid = problems_of(parse(split(card)[0] or ""))
    known = chosen is not _NO_LICENSE or "license" in own
    found.problems += [problem for problem in invalid if known or not problem.startswith("README.md: license")]
    for text in missing_notices(content, card):
        found.add(text, forbidden=public)
    found.stop()
    return card, list(dict.fromkeys(found.warnings))


#: Stands for a licence while the other problems are looked for.
_NO_LICENSE = License("other")


@dataclass
class _Found:
    """What is wrong, what is worth knowing, and what to do next."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def add(self, text: str, *, forbidden: bool) -> None:
        (self.problems if forbidden else self.warnings).append(text)

    def take(self, error: UserError) -> None:
        self.problems += error.problems
        self.hints += [error.hint] if error.hint else []

    def stop(self) -> None:
        """Raise everything that is wrong, if anything is."""
        if self.problems:
            raise UserError(list(dict.fromkeys(self.problems)), hint="; ".join(self.hints) or None)


def _base_and_license(
    artifact: Artifact, values: dict[str, Any], own: dict[str, Any], asked: str | None, found: _Found
) -> tuple[str, License, License | None]:
    """The base model's id (empty when nobody knows it), the card's licence, and the base model's."""
    base, inherited = "", None
    try:
        base = find_base_model(artifact.base_model, values.get("model_name_or_path"), own.get("base_model"))
    except UserError as error:
        found.take(error)
    else:
        inherited, warnings = base_license(base)
        found.warnings += warnings
    try:
        return base, choose_license(asked, own, inherited, base), inherited
    except UserError as error:
        if base or asked:  # without a base model its licence cannot be known either: one problem, not two
            found.take(error)
        return base, _NO_LICENSE, inherited


def _renewed(
    existing: str, changes: dict[str, Any], texts: dict[str, str], comparison: Comparison, found: _Found
) -> str:
    """An existing card with changed metadata and renewed sections, without the answers of other weights."""
    block, body = split(existing)
    newline = newline_of(existing)
    others = answered_by(body) not in (None, comparison.weights) and not texts["samples"]
    if others:
        found.warnings.append(
            f"README.md: its answers are those of other weights than these, so they are taken out. {comparison.again}"
        )
    body, problems = renew(body, {**texts, "samples": None} if others else texts, newline)
    found.problems += problems
    return join(existing, change(block or "", changes, newline) if changes else block or "", body)


def _repository_problems(repo_id: str) -> list[str]:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        return [f"{repo_id!r} cannot be a repository on the Hub: {str(error).splitlines()[0]}"]
    return []


def _new_card(values: dict[str, Any], body: str) -> str:
    from huggingface_hub import ModelCard, ModelCardData
    from huggingface_hub.utils import yaml_dump

    card = ModelCard(f"---\n{yaml_dump(values, sort_keys=False).strip()}\n---\n\n{body}")
    assert isinstance(card.data, ModelCardData)
    return str(card)


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
        read_comparison(artifact.folder, base, *([d.name for d in datasets if d.use == use] for use in USES)),
    )
