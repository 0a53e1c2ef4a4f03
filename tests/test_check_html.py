"""A report as one HTML file: well-formed, complete, and safe to open."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from html_page import TAGS, Page
from lf_registry.check.words import dataset_facts, rows_text, verdict
from report_parts import HOSTILE, sample
from report_reading import NAMES, texts_of
from reports import REPORTS


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_well_formed_and_needs_nothing_else(name, pages):
    page = Page(pages[name])
    assert {tag for tag, _ in page.elements} <= TAGS
    for _, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "srcset", "action", "data")]
        assert (attributes.get("href") or "#").startswith("#")
        for key, value in attributes.items():
            assert "url(" not in (value or "") or re.search(r"url\(#", value), (key, value)
    style = "".join(data for path, data in page.data if "style" in path)
    assert not re.search(r"url\(|@import|@font-face|https?:", style)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = re.findall(r'(?:url\(|href="|aria-labelledby=")#?([\w-]+)', pages[name])
    assert set(referred) <= set(ids)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_pages_own_script_runs(name, pages):
    (script,) = re.findall(r"<script>(.*?)</script>", pages[name], flags=re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [meta["content"] for meta in Page(pages[name]).all("meta") if "http-equiv" in meta]
    assert f"script-src 'sha256-{digest}';" in policy and "default-src 'none'" in policy


@pytest.mark.parametrize("name", NAMES)
def test_a_page_holds_every_sentence_as_text(name, pages):
    report = REPORTS[name]()
    whole = Page(pages[name]).text()
    assert not [text for text in texts_of(report) if text not in whole]
    assert verdict(report) in whole
    assert not [character for character in pages[name] if not character.isprintable() and character != "\n"]
    for one in report.findings:
        assert rows_text(one) in whole
    for dataset in report.datasets:
        for _, fact in dataset_facts(dataset, report.cutoff_len):
            assert fact in whole


def test_hostile_text_is_nowhere_unescaped(pages):
    for text in ("<script>alert", '" onmouseover="', "</pre></textarea>", "&lt;b&gt; &amp; &#x41;"):
        assert any(text in one for one in HOSTILE)
        assert text not in pages["hostile"]
    assert "{{ x }} {% raw %} {# gone? #}" in pages["hostile"]


def test_samples_show_trained_tokens_and_ids(pages):
    page = Page(pages["everything"])
    trained = "".join(token.text for token in sample().tokens if token.trained)
    marked = "".join(data for path, data in page.data if "mark" in path and "pre" in path)
    assert marked == trained.replace("\n", "↵\n")
    titles = [span["title"] for span in page.all("span") if "title" in span]
    assert titles[: len(sample().tokens)].count("id 600 601") == 1  # two tokens, one character
    assert " ".join(titles).replace("id ", "").split()[:40] == [str(token.id) for token in sample().tokens]
    style = "".join(data for path, data in page.data if "style" in path)
    assert re.search(r"mark \{[^}]*font-weight: 600[^}]*underline", style)
    assert "row 17: 2 tokens, none trained: the model learns nothing from this row" in page.text("h3")
