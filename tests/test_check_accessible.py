"""Everybody can read an HTML report."""

from __future__ import annotations

import re
from itertools import pairwise

from html_page import Page


def test_a_page_can_be_read_without_seeing_it(pages):
    page = Page(pages["everything"])
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3")]
    assert levels.count(1) == 1 and all(after - before <= 1 for before, after in pairwise(levels))
    assert page.elements[0] == ("html", {"lang": "en"})
    assert all("scope" in header for header in page.all("th")) and page.all("th")
    assert {"hidden", "id"} <= set(page.all("fieldset")[0])  # shown by the script
    assert [row["data-severity"] for row in page.all("tr") if "data-severity" in row] == ["error"] * 3 + ["warning"] * 2


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two colours."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_has_enough_contrast_in_both_themes(pages):
    light, dark = (dict(re.findall(r"(--[\w-]+): (#\w{6});", block)) for block in
                   re.findall(r":root \{(.*?)\}", pages["clean"], flags=re.S)[:2])  # fmt: skip
    for theme in (light, dark):
        pairs = [("--ink", "--page"), ("--quiet", "--page"), ("--quiet", "--panel"), ("--good", "--panel")]
        pairs += [(f"--{name}", f"--{name}-back") for name in ("error", "warning", "good")]
        assert not [pair for pair in pairs if contrast(theme[pair[0]], theme[pair[1]]) < 4.5]
        assert contrast(theme["--bar"], theme["--page"]) >= 3
