"""The text of a card, section by section, from ``card.md.j2``."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...templates import load_templates
from ..artifact import Artifact
from .data import Dataset
from .licenses import License
from .samples import CUT, Comparison
from .sections import ORDER
from .training import Training
from .usage import Usage


@dataclass(frozen=True)
class Content:
    """Everything that a card is written from.

    Attributes:
        artifact: the folder.
        repo_id: where it will be.
        base: the base model's Hub id.
        template: the name of the chat template it was trained with; empty when it is not known.
        persona: that template's system message.
        training, datasets, usage: what was found about it.
        license: under which it is published.
        base_license: the base model's, when it is known.
        languages: codes of its languages.
        recipe: whether a recipe goes up with it.
        comparison: answers before and after, and sentences on them.
    """

    artifact: Artifact
    repo_id: str
    base: str
    template: str
    persona: str
    training: Training
    datasets: tuple[Dataset, ...]
    usage: Usage
    license: License
    base_license: License | None
    languages: tuple[str, ...]
    recipe: bool
    comparison: Comparison

    @property
    def name(self) -> str:
        """The repository's name without its owner."""
        return self.repo_id.rpartition("/")[2]

    @property
    def notices(self) -> tuple[str, ...]:
        """The texts that the licences ask for."""
        base = self.base_license.terms.notices if self.base_license else ()
        return tuple(dict.fromkeys([*base, *self.license.terms.notices]))


def sections(content: Content) -> dict[str, str]:
    """The text of every section; an empty one has nothing to say."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, not HTML; what comes from files goes through the filters below
    )
    environment.filters |= {"quote": _quote, "inline": _inline, "cell": _cell, "code": _code}
    template = environment.get_template("card.md.j2")
    context = template.new_context(_values(content))
    texts = {name: "".join(template.blocks[name](context)) for name in ORDER}
    return {name: re.sub(r"\n{3,}", "\n\n", text).strip() for name, text in texts.items()}


def _values(content: Content) -> dict[str, Any]:
    artifact, usage = content.artifact, content.usage
    repo = content.repo_id
    samples, summary = content.comparison.samples, content.comparison.sentences
    examples = [dataset.rows for dataset in content.datasets if dataset.use == "training"]
    saved = content.persona.strip().splitlines()[:1]
    terms = content.license.terms
    return {
        "kind": artifact.kind,
        "repo": repo,
        "name": content.name,
        "base": content.base,
        "merged": "merge_report" in artifact.facts,
        "noun": artifact.noun[0].upper() + artifact.noun[1:],
        "mergeable": artifact.peft_type == "LORA",
        "persona": content.persona,
        "persona_saved": bool(saved) and saved[0] in usage.chat_template.replace("\\'", "'").replace('\\"', '"'),
        "samples": samples,
        "cut": any(text.endswith(CUT) for sample in samples for text in sample.values()),
        "summary": summary,
        "weights": content.comparison.weights,
        "needs": _needs(content),
        "usage": usage,
        "tokenizer_repo": repo if usage.tokenizer or artifact.kind == "model" else content.base,
        "served": content.name if artifact.kind == "adapter" else repo,
        "remote": ", trust_remote_code=True" if usage.remote_code else "",
        "question": "안녕하세요, 자기소개를 해 주세요." if "ko" in content.languages else "Hello, who are you?",
        "template": shlex.quote(content.template) if content.template else "",
        "training": content.training,
        "recipe_file": "recipe.yaml" if content.recipe else "",
        "datasets": content.datasets,
        "examples": sum(filter(None, examples)) if all(examples) else 0,
        "license": content.license,
        "license_link": content.license.link or terms.link,
        "license_notices": content.notices,
        "inherited": content.base_license is not None and content.base_license.key == content.license.key,
    }


def _needs(content: Content) -> str:
    """What must be there before the recipe runs again, with its verb."""
    file = content.training.rows.get("DeepSpeed")
    needs = ["the data", *([file] if file else [])]
    if content.template in load_templates():
        needs.append(f"the chat template `{content.template}` of `lf-registry`")
    return f"{' and '.join([', '.join(needs[:-1]), needs[-1]])} are" if needs[1:] else "the data is"


def _safe(text: str) -> str:
    """Text that ends no comment and begins none: a section's markers are comments."""
    return text.replace("<!--", "&lt;!--")


def _plain(text: str) -> str:
    """Text in which a tag is shown and not followed."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def _quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in _plain(text).strip().splitlines()) or "> (nothing)"


def _inline(text: str) -> str:
    return " ".join(_plain(text).split())


def _cell(text: str) -> str:
    return _inline(text).replace("|", "\\|")


def _code(text: str) -> str:
    ticks = "``" if "`" in text else "`"
    return f"{ticks}{_safe(text)}{ticks}"
