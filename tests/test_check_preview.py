"""A row as the model reads it, with what is trained between marks."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from lf_registry.check.preview import preview_text
from lf_registry.check.report import Sample, Token
from report_parts import sample


def row_of(preview: str) -> str:
    """The part below headline and legend, without its last newline."""
    return preview.split("\n\n", 1)[1].removesuffix("\n")


def test_a_preview_reads_like_this():
    assert (
        preview_text(sample())
        == """\
dataset ironman, row 3: 40 tokens, 12 trained
⟦trained⟧   outside: read, not trained   ↵ line break

<|begin_of_text|><|start_header_id|>system<|end_header_id|>↵
↵
너는 토니 스타크다. 언제나 편한 반말로 말한다.<|eot_id|><|start_header_id|>user<|end_header_id|>↵
↵
회로가 자꾸 타요. 어디부터 봐야 하죠?<|eot_id|><|start_header_id|>assistant<|end_header_id|>↵
↵
⟦뭐부터 보냐고? 전원.↵
타는 냄새는 거짓말을 안 해.<|eot_id|>⟧
"""
    )


def test_ids_stand_behind_their_tokens():
    preview = preview_text(sample(), ids=True)
    assert "text·id   ␣ space" in preview.splitlines()[1]
    assert "<|end_header_id|>·502 ↵↵·503\n⟦·600 뭐·601 부터·700 ␣보냐고?·701 ␣전원.·702 ↵·703\n타는·704" in preview
    words = re.findall(r"(\S*)·(\d+)", row_of(preview).replace("⟦", "").replace("⟧", ""))
    shown = [(token.text.replace(" ", "␣").replace("\n", "↵"), str(token.id)) for token in sample().tokens]
    assert words == shown


letters = st.text(st.sampled_from("가나 a\n⟦⟧⟪⟫↵⏎·[]"), max_size=6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(letters, st.booleans()), min_size=1, max_size=8))
def test_without_its_marks_a_preview_is_the_row(parts):
    one = Sample("x", 1, tuple(Token(i, text, trained) for i, (text, trained) in enumerate(parts)))
    whole = "".join(text for text, _ in parts)
    preview = preview_text(one)
    marks = preview.splitlines()[1]
    opening, closing = re.match(r"(.+)trained(.+?)   outside", marks).groups()
    line_end = re.search(r"(\S+) line break", marks)
    row = row_of(preview)
    for mark in (opening, closing, *([line_end[1]] if line_end else [])):
        assert mark not in whole
    # Content may touch a mark that is made of its own letters; then only the row of letters can be compared.
    if len(opening) == 1:
        row = row.replace(opening, "").replace(closing, "")
        assert (row.replace(f"{line_end[1]}\n", "\n") if line_end else row) == whole


def test_marks_show_exactly_what_is_trained():
    row = row_of(preview_text(sample()))
    trained = "".join(token.text for token in sample().tokens if token.trained)
    assert [part.replace("↵\n", "\n") for part in re.findall(r"⟦(.*?)⟧", row, flags=re.S)] == [trained]
    colored = preview_text(sample(), color=True)
    assert "\x1b[32m⟦뭐부터" in colored and "\x1b[2m<|begin_of_text|>" in colored


def test_a_row_that_trains_nothing_says_so():
    one = Sample("x", 7, (Token(1, "가", False),))
    assert preview_text(one).startswith(
        "dataset x, row 7: 1 token, none trained: the model learns nothing from this row\n"
    )
    assert preview_text(Sample("x", 7, ())).count("\n") == 1


def test_a_run_that_ends_with_a_line_break_closes_in_front_of_it():
    one = Sample("x", 1, (Token(1, "a\n", True), Token(2, "b", False), Token(3, "\t\n", False)))
    assert row_of(preview_text(one)) == "⟦a↵⟧\nb⇥↵\n"
    assert "⇥ tab" in preview_text(one)
