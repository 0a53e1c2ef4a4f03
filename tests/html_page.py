"""Reports as HTML, for the tests that read them."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from lf_registry.check.html import report_html
from reports import REPORTS

VOID = {"meta", "input", "link", "br", "hr", "img"}
_STRUCTURE = "html head meta title style script body header main section h1 h2 h3 p div ul li figure figcaption"
_TEXT = "strong code small span mark i pre table thead tbody tr th td fieldset legend label input"
_PLOT = "svg defs g path use clippath rect text"
TAGS = set(f"{_STRUCTURE} {_TEXT} {_PLOT}".split())


class Page(HTMLParser):
    """A page as what the tests ask for; fails on a tag that is not closed, or not by its own name."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.data: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs)), "an attribute stands twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.data.append((tuple(self.open), data))

    def text(self, tag: str = "body") -> str:
        return "".join(data for path, data in self.data if tag in path and not {"style", "script"} & set(path))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="session")
def pages() -> dict[str, str]:
    return {name: report_html(make()) for name, make in REPORTS.items()}
