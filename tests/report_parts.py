"""The parts of which reports are made by hand."""

from __future__ import annotations

import re

from lf_registry.check.report import Finding, Lengths, Sample, Token

TOKEN = "hf_" + "x" * 34

#: One that stands in no key, so that only its shape gives it away.
OTHER_TOKEN = "ghp_" + "y" * 34

#: Text that means something to a terminal, to rich, to HTML, to Jinja or to a reader's eye.
HOSTILE = [
    "<script>alert('x')</script>",
    "[red]loud[/red] [/] [link=a]",
    "{{ x }} {% raw %} {# gone? #}",
    '" onmouseover="alert(1)',
    "</pre></textarea></title><!-- ]]>",
    "&lt;b&gt; &amp; &#x41;",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \r\x00\x08",
    "\u202etxt.exe\u200b \u2028 \ufeff \ud800",
    ":smile: \\[red] `code` $(x)",
]


def tokens(text: str, *, trained: bool, start: int = 100) -> list[Token]:
    """One token for each run of a letter kind; good enough for reports."""

    return [
        Token(start + i, piece, trained) for i, piece in enumerate(re.findall(r"<\|[^|]*\|>|\n+| ?[^\s<]+|.", text))
    ]


def sample(row: int = 3) -> Sample:
    return Sample(
        "ironman",
        row,
        (
            *tokens("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n", trained=False),
            *tokens("너는 토니 스타크다. 언제나 편한 반말로 말한다.<|eot_id|>", trained=False, start=200),
            *tokens("<|start_header_id|>user<|end_header_id|>\n\n", trained=False, start=300),
            *tokens("회로가 자꾸 타요. 어디부터 봐야 하죠?<|eot_id|>", trained=False, start=400),
            *tokens("<|start_header_id|>assistant<|end_header_id|>\n\n", trained=False, start=500),
            Token(600, "", True),
            Token(601, "뭐", True),
            *tokens("부터 보냐고? 전원.\n타는 냄새는 거짓말을 안 해.<|eot_id|>", trained=True, start=700),
        ),
    )


def lengths(**changes) -> Lengths:
    values = {"minimum": 88, "median": 212, "p95": 402, "p99": 588, "maximum": 702}
    edges = tuple(range(80, 721, 40))
    counts = (4, 21, 48, 71, 58, 37, 22, 13, 8, 5, 3, 2, 2, 1, 1, 1)
    return Lengths(**{**values, "edges": edges, "counts": counts, **changes})


def finding(severity="error", **changes) -> Finding:
    return Finding(severity, "a-code", "here", "what", "do", **changes)
