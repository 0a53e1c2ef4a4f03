"""What licences and the Hub ask of a card beyond its form: which licence, which name, which notices."""

from __future__ import annotations

from typing import Any

from ...errors import UserError
from .body import Content
from .licenses import License, contradiction, license_from_metadata, unknown_identifier, wrong_name


def choose_license(asked: str | None, own: dict[str, Any], base: License | None, base_name: str) -> License:
    """The licence of the card: what was asked for, else what README.md says, else the base model's.

    Raises:
        UserError: nobody knows one, it is none of the Hub's, or the base model's terms do not allow it.
    """
    written = license_from_metadata(own, "README.md")
    if asked == "unknown":
        raise UserError("--license unknown: says nothing; without a licence nobody may use the model")
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


def rules(content: Content, own: dict[str, Any]) -> list[tuple[str, bool]]:
    """What the licences say beyond their name: a sentence, and whether it forbids publishing for all to see."""
    found = []
    for terms in dict.fromkeys(
        [content.license.terms, *([content.base_license.terms] if content.base_license else [])]
    ):
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
    found += [(text, False) for text in content.comparison.notes]
    if not content.languages and not own.get("language"):
        text = "language: was not recognized; write it into the metadata of README.md, for example `language: [en]`"
        found.append((text, False))
    return found


def missing_notices(content: Content, text: str) -> list[str]:
    """The notices of the licence that are not in a card, because somebody took them out."""
    plain = " ".join(text.split())
    return [
        f"README.md: {notice!r} is missing, which the {content.license.title} asks for; write it into the card"
        for notice in content.notices
        if " ".join(notice.split()) not in plain
    ]
