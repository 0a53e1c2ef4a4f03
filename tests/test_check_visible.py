"""Characters that cannot be seen, and marks that cannot be mistaken."""

from __future__ import annotations

import pytest

from lf_registry.check.visible import unused, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("한글 ok\n👩‍🚀", "한글 ok\n👩‍🚀"),
        ("\x1b[31m\x00\x7f", "␛[31m␀␡"),
        ("\u202e\u200b\ufeff\xa0", "<U+202E><U+200B><U+FEFF><U+00A0>"),
        ("\x9b2J\ud800", "<U+009B>2J<U+D800>"),
    ],
)
def test_invisible_characters_are_shown(text, shown):
    assert visible(text) == shown


def test_a_mark_is_never_one_of_the_text():
    assert unused(("↵", "⏎"), "a") == "↵"
    assert unused(("↵", "⏎"), "↵") == "⏎"
    assert unused(("↵", "⏎"), "↵⏎") == "↵↵"
    assert unused(("⟦⟧", "⟪⟫"), "only ⟧") == "⟪⟫"
