"""Licences: where they come from, what contradicts them, and what they ask of names and notices."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from card_folders import LLAMA3, adapter, full, write
from lf_registry.errors import UserError
from lf_registry.models import load_models
from lf_registry.publish.card.base_license import base_license
from lf_registry.publish.card.licenses import TABLE, License, contradiction, license_from_name, wrong_name
from lf_registry.recipes import Recipe


def recipe(base: str) -> Recipe:
    return Recipe(Path("r.yaml"), {"model_name_or_path": base, "finetuning_type": "full"})


def cached_card(cache: Path, repo: str, text: str) -> None:
    """Put a card into a Hub cache, as a download leaves it."""
    root = cache / f"models--{repo.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    write(root / "snapshots" / ("0" * 40), README_md=text)


NAMES = {
    "meta-llama/Meta-Llama-3-8B-Instruct": "llama3",
    LLAMA3: "llama3",
    "beomi/Llama-3-Open-Ko-8B": "llama3",
    "someone/llama3-korean": "llama3",
    "meta-llama/Llama-3.1-8B": "llama3.1",
    "meta-llama/Meta-Llama-3.1-8B-Instruct": "llama3.1",
    "meta-llama/Llama-3.2-1B": "llama3.2",
    "meta-llama/Llama-3.3-70B-Instruct": "llama3.3",
    "meta-llama/Llama-4-Scout-17B-16E": "llama4",
    "meta-llama/Llama-2-7b-hf": "llama2",
    "Qwen/Qwen2-7B-Instruct": "apache-2.0",
    "Qwen/Qwen2-72B": "tongyi-qianwen",
    "Qwen/Qwen2.5-0.5B": "apache-2.0",
    "Qwen/Qwen2.5-3B-Instruct": "qwen-research",
    "Qwen/Qwen2.5-32B": "apache-2.0",
    "Qwen/Qwen2.5-72B-Instruct": "qwen",
    "Qwen/Qwen3-8B": "apache-2.0",
    "kakaocorp/kanana-nano-2.1b-base": "cc-by-nc-4.0",
    "kakaocorp/kanana-1.5-2.1b-base": "apache-2.0",
    "kakaocorp/kanana-1.5-8b-instruct-2505": "apache-2.0",
    "kakaocorp/kanana-1.5-v-3b-instruct": "kanana",
    "google/gemma-2-2b-it": "gemma",
    "google/gemma-7b": "gemma",
    "mistralai/Mistral-7B-Instruct-v0.3": "apache-2.0",
    "LGAI-EXAONE/EXAONE-3.5-7.8B-Instruct": "exaone",
    "upstage/SOLAR-10.7B-v1.0": "apache-2.0",
    "upstage/SOLAR-10.7B-Instruct-v1.0": "cc-by-nc-4.0",
    "x2bee/POLAR-14B-v0.2": None,
    "someone/Qwen2-7B-mine": None,
    "someone/gemma-ko": None,
    "mistralai/Ministral-8B-Instruct-2410": None,
}


@pytest.mark.parametrize(("base", "expected"), NAMES.items())
def test_the_table(base, expected):
    found = license_from_name(base)
    assert (found.key if found else None) == expected
    if found and found.id == "other":
        assert found.link == f"https://huggingface.co/{base}/blob/main/LICENSE"


def test_the_models_that_we_offer_have_a_licence():
    unknown = {model.path for model in load_models().values() if license_from_name(model.path) is None}
    assert unknown == {"x2bee/POLAR-14B-v0.2"}  # its card could not be read: the user is asked


def test_every_family_names_terms_of_the_table():
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    assert {family["license"] for family in table["families"]} <= set(table["terms"])
    assert set(table["identifiers"].split()) >= {
        name for name in table["terms"] if name.startswith(("cc", "llama", "gemma"))
    }
    for name in table["terms"]:
        assert License(name).terms.title or License(name).terms.permissive


ALLOWED = [
    ("apache-2.0", "apache-2.0"),
    ("apache-2.0", "cc-by-nc-4.0"),
    ("mit", "gpl-3.0"),
    ("llama3", "llama3"),
    ("cc-by-nc-4.0", "cc-by-nc-4.0"),
    ("cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
    ("gemma", "gemma"),
]
REFUSED = [
    ("llama3", "apache-2.0"),
    ("llama3", "llama3.1"),
    ("llama3.1", "mit"),
    ("cc-by-nc-4.0", "mit"),
    ("cc-by-nc-4.0", "cc-by-4.0"),
    ("cc-by-nc-4.0", "apache-2.0"),
    ("cc-by-nc-sa-4.0", "cc-by-nc-4.0"),
    ("cc-by-sa-4.0", "cc-by-4.0"),
    ("gpl-3.0", "mit"),
    ("gemma", "apache-2.0"),
]


@pytest.mark.parametrize(("base", "chosen"), ALLOWED)
def test_allowed(base, chosen):
    assert contradiction(License(base), License(chosen)) is None


@pytest.mark.parametrize(("base", "chosen"), REFUSED)
def test_refused(base, chosen):
    problem = contradiction(License(base, source="its card"), License(chosen))
    assert chosen in problem and f"--license {base}" in problem and "its card" in problem


@pytest.mark.parametrize(
    ("base", "license", "words"),
    [
        (LLAMA3, "apache-2.0", "Meta Llama 3 Community License"),
        ("kakaocorp/kanana-nano-2.1b-base", "mit", "forbids commercial use"),
        ("LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct", "apache-2.0", "no `--license` at all"),
        ("Qwen/Qwen2.5-3B", "apache-2.0", "Qwen Research License Agreement"),
        (LLAMA3, "Llama3", "did you mean 'llama3'"),
        (LLAMA3, "other", "license_name"),
        ("Qwen/Qwen2-7B", "unknown", "says nothing"),
    ],
)
def test_a_licence_that_cannot_be_is_refused(card, tmp_path, base, license, words):
    with pytest.raises(UserError) as caught:
        card("full", artifact=full(tmp_path / "m"), recipe=recipe(base), repo_id="me/Llama-3-x", license=license)
    assert words in str(caught.value) and len(caught.value.problems) == 1


def test_an_unknown_licence_asks(card, tmp_path):
    folder = full(tmp_path / "m")
    with pytest.raises(
        UserError, match=r"nobody knows the licence of the base model someone/new-model[^$]*--license ID"
    ):
        card("full", artifact=folder, recipe=recipe("someone/new-model"))
    text, _ = card("full", artifact=folder, recipe=recipe("someone/new-model"), license="mit")
    assert "license: mit" in text and "[MIT License]" in text


def test_the_card_of_the_base_comes_before_the_table(no_cached_cards):
    cached_card(no_cached_cards, "someone/new-model", "---\nlicense: mit\n---\n# x\n")
    cached_card(no_cached_cards, "Qwen/Qwen2-7B", "---\nlicense: other\nlicense_name: mine\nlicense_link: L.md\n---\n")
    assert base_license("someone/new-model") == (License("mit", source="the card of someone/new-model"), [])
    found, (warning,) = base_license("Qwen/Qwen2-7B")
    assert (found.id, found.name) == ("other", "mine")
    assert found.link == "https://huggingface.co/Qwen/Qwen2-7B/blob/main/L.md"
    assert "by its name it is a model under Apache License 2.0" in warning


@pytest.mark.parametrize(
    "text",
    [
        "---\nlicense: other\nlicense_name: llama3\nlicense_link: LICENSE\n---\n",
        "---\nlicense: [llama3]\n---\n",
        "no yaml",
    ],
)
def test_a_licence_that_the_hub_knows_by_another_spelling(no_cached_cards, text):
    cached_card(no_cached_cards, LLAMA3, text)
    found, warnings = base_license(LLAMA3)
    assert (found.id, found.name, warnings) == ("llama3", None, [])
    assert found.source == ("the table of known base models" if text == "no yaml" else f"the card of {LLAMA3}")


@pytest.mark.parametrize(
    "text", ["---\nlicense: [\n---\n", "---\nlicense: unknown\n---\n", "---\nlicense: other\n---\n", ""]
)
def test_a_card_of_the_base_that_says_nothing(no_cached_cards, text):
    cached_card(no_cached_cards, LLAMA3, text)
    assert base_license(LLAMA3)[0].source == "the table of known base models"


@pytest.mark.parametrize(
    ("license", "name", "fine"),
    [
        ("llama3", "me/Llama-3-Iron", True),
        ("llama3", "me/llama3_iron", True),
        ("llama3", "me/Llama-Iron", False),
        ("llama3", "Llama-3/iron", False),
        ("llama3.1", "me/Llama-Iron", True),
        ("llama3.2", "me/iron-llama", False),
        ("apache-2.0", "me/iron", True),
    ],
)
def test_names(license, name, fine):
    assert (wrong_name(License(license).terms, name) is None) == fine


def test_the_name_rule_binds_what_is_public(card, tmp_path):
    folder = adapter(tmp_path / "run")
    _, warnings = card(artifact=folder, repo_id="me/ironman")
    assert any("name it me/Llama-3-ironman" in warning for warning in warnings)
    with pytest.raises(UserError, match="begins with 'Llama 3'; name it me/Llama-3-ironman"):
        card(artifact=folder, repo_id="me/ironman", public=True)
    assert card(artifact=folder, public=True)[0]


def test_notices(card, tmp_path):
    text, warnings = card()
    assert "Built with Meta Llama 3" in text and "Copyright © Meta Platforms" in text
    assert any("put LICENSE and NOTICE into" in warning for warning in warnings)
    folder = adapter(tmp_path / "run")
    write(folder.folder, LICENSE_txt="...")
    assert not any("LICENSE and NOTICE" in warning for warning in card(artifact=folder)[1])


def test_a_notice_that_was_deleted(card, tmp_path):
    folder = adapter(tmp_path / "run")
    text = card(artifact=folder)[0].replace("Built with Meta Llama 3\n", "\n")
    start, end = text.index("<!-- lf-registry:begin license"), text.index("<!-- lf-registry:end license -->")
    text = text[:start] + text[end + len("<!-- lf-registry:end license -->") :]
    assert any("'Built with Meta Llama 3' is missing" in warning for warning in card(artifact=folder, existing=text)[1])
    with pytest.raises(UserError, match="'Built with Meta Llama 3' is missing"):
        card(artifact=folder, existing=text, public=True)


def test_no_derivatives(card, tmp_path, no_cached_cards):
    cached_card(no_cached_cards, "someone/frozen", "---\nlicense: cc-by-nd-4.0\n---\n")
    folder = full(tmp_path / "m")
    assert any(
        "sharing a changed model" in text for text in card("full", artifact=folder, recipe=recipe("someone/frozen"))[1]
    )
    with pytest.raises(UserError, match="does not allow sharing a changed model"):
        card("full", artifact=folder, recipe=recipe("someone/frozen"), public=True)


def test_terms_that_nobody_read_are_said(card, tmp_path):
    text, warnings = card("full", artifact=full(tmp_path / "m"), recipe=recipe("LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct"))
    assert "license: other\nlicense_name: exaone\nlicense_link: https://huggingface.co/LGAI-EXAONE/" in text
    assert any("read the EXAONE AI Model License Agreement" in warning for warning in warnings)
    assert "No commercial use" in text
