"""One row of a dataset as the training sees it, token by token: what is trained on, and what is only read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from .report import Sample, Token
from .text import terminal
from .visible import unused, visible, write_out
from .words import plural

#: Pairs of marks around what is trained on, and marks for the end of a line, a token's id and a space; the first that
#: does not stand in the row itself is taken.
_BRACKETS = ("⟦⟧", "⟪⟫", "⦃⦄")
_LINE_ENDS = ("↵", "⏎")
_ID_MARKS = ("·", "¦", "‖")
_SPACES = ("␣", "⍽")

_GREEN, _DIM, _BOLD, _PLAIN = "\x1b[32m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


def print_previews(samples: Iterable[Sample], *, ids: bool) -> None:
    """Print samples to standard output, in colour if the terminal has any."""
    _, color = terminal()
    for sample in samples:
        write_out(preview_text(sample, ids=ids, color=color) + "\n")


def headline(sample: Sample) -> str:
    """``dataset ironman, row 3: 412 tokens, 95 trained``; words of warning when none is."""
    trained = sum(token.trained for token in sample.tokens)
    head = f"dataset {visible(sample.dataset)}, row {sample.row}: {plural(len(sample.tokens), 'token')}"
    return (
        f"{head}, {trained:,} trained" if trained else f"{head}, none trained: the model learns nothing from this row"
    )


def preview_text(sample: Sample, *, ids: bool = False, color: bool = False) -> str:
    """One sample as text: a headline, a line that explains the marks, and the row.

    Trained tokens stand in ``⟦ ⟧`` (green), masked ones outside (dim). Line breaks are kept, with ``↵`` in front of
    each. Without the marks the text is that of the row; control characters are shown as pictures (``␛``).

    Args:
        sample: the row.
        ids: whether to show each token as ``text·id``, tokens separated by spaces, spaces within them as ``␣``.
        color: whether to use ANSI colours.
    """
    whole = "".join(token.text for token in sample.tokens)
    opening, closing = _pair(unused(_BRACKETS, whole))
    line_end, id_mark, space = unused(_LINE_ENDS, whole), unused(_ID_MARKS, whole), unused(_SPACES, whole)

    def shown(tokens: Iterable[Token]) -> str:
        if not ids:
            return visible("".join(token.text for token in tokens)).replace("\n", f"{line_end}\n")
        words = []
        for token in tokens:
            text = visible(token.text).replace(" ", space).replace("\n", line_end)
            words.append(f"{text}{id_mark}{token.id}" + ("\n" if "\n" in token.text else " "))
        return "".join(words)

    def paint(text: str, code: str) -> str:
        # Line by line, so that a pager, which resets colours at a line's end, shows every line in its own.
        return "\n".join(f"{code}{line}{_PLAIN}" if line else "" for line in text.split("\n")) if color else text

    body = ""
    for trained, tokens in groupby(sample.tokens, key=lambda token: token.trained):
        run = shown(tokens)
        # The line break that ends a run goes behind the closing mark, which would stand alone on the next line.
        tail = run[-1] if run.endswith("\n") or (ids and run) else ""
        run = run.removesuffix(tail)
        body += (paint(f"{opening}{run}{closing}", _GREEN) if trained else paint(run, _DIM)) + tail

    legend = [f"{opening}trained{closing}", "outside: read, not trained"]
    if "\n" in whole:
        legend.append(f"{line_end} line break")
    if "\t" in whole:
        legend.append("⇥ tab")
    if ids:
        legend.append(f"text{id_mark}id")
    if ids and " " in whole:
        legend.append(f"{space} space")
    head = headline(sample)
    legend_line = "   ".join(legend)
    head, legend_line = (f"{_BOLD}{head}{_PLAIN}", f"{_DIM}{legend_line}{_PLAIN}") if color else (head, legend_line)
    return f"{head}\n{legend_line}\n\n{body.removesuffix(' ') if ids else body}\n" if sample.tokens else f"{head}\n"


def _pair(marks: str) -> tuple[str, str]:
    half = len(marks) // 2
    return marks[:half], marks[half:]
