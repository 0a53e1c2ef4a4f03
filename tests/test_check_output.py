"""What is written from a check's report: for the terminal, as JSON, as HTML."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shlex
import sys
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from lf_registry.check.as_json import report_json
from lf_registry.check.html import report_html
from lf_registry.check.plots import lengths_svg
from lf_registry.check.preview import preview_text, print_previews
from lf_registry.check.report import DatasetReport, Finding, Report, Sample, Token
from lf_registry.check.text import print_report, report_text
from lf_registry.check.visible import unused, visible
from lf_registry.check.words import dataset_facts, next_command, percent, rows_text, verdict
from lf_registry.secret_text import hide_in_values, names_a_secret
from reports import HOSTILE, OTHER_TOKEN, REPORTS, TOKEN, clean, degenerate, everything, hostile, lengths, sample

SECRETS = [TOKEN, OTHER_TOKEN, "s3cr3t-value", "nested-secret", "p" * 12]
NAMES = list(REPORTS)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: report_html(make()) for name, make in REPORTS.items()}


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def without_ansi(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def texts_of(report: Report) -> list[str]:
    """All sentences that a report holds."""
    found = [report.recipe, *report.checked, *report.not_checked, *(dataset.name for dataset in report.datasets)]
    for finding in report.findings:
        found += [finding.where, finding.code, finding.message, finding.fix, *finding.details]
    return [visible(re.sub("|".join(SECRETS), "(hidden)", text)) for text in found]


# The terminal


@pytest.mark.parametrize("width", [80, 40, 100])
@pytest.mark.parametrize("name", NAMES)
def test_lines_are_as_wide_as_the_terminal_and_lose_nothing(name, width):
    report = REPORTS[name]()
    *lines, command = report_text(report, width=width).splitlines()
    assert max(cell_len(line) for line in lines) <= width
    whole = squeezed("".join(lines))
    assert not [text for text in texts_of(report) if squeezed(text) not in whole]
    assert command == "  " + next_command(report) or name in ("everything", "hostile")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_from_outside_reaches_the_terminal_as_a_command(name):
    report = REPORTS[name]()
    plain, colored = (report_text(report, color=color) for color in (False, True))
    assert not [character for character in plain if not character.isprintable() and character != "\n"]
    assert "\x1b[" in colored and without_ansi(colored).split() == plain.split()
    for one in report.samples:
        for ids in (False, True):
            plain, colored = (preview_text(one, ids=ids, color=color) for color in (False, True))
            assert not [character for character in plain if not character.isprintable() and character != "\n"]
            assert "\x1b[" in colored and without_ansi(colored) == plain


def test_a_report_reads_like_this():
    report = everything()
    report.datasets, report.not_checked = report.datasets[:1], []
    report.findings = [report.findings[2], report.findings[-1]]
    assert (
        report_text(report)
        == """\
recipes/내 레시피.yaml cutoff_len=512 hf_hub_token=(hidden)

error    dataset ironman  template-differs
         The chat template saved with the model gives other tokens than the
         training: what is served is not what was trained.
         rows 3, 17, 52, 60, 61, 62, 63, 64, 65, 66 and 8 more
    fix: lf-registry show template llama3-ironman --jinja
           row 3, token 14
             training:      토니 스타크 | 128009
             chat template: 토니 스타크 | 271

warning  recipes/내 레시피.yaml: push_to_hub  public-upload
         The model will be public; the lines say (hidden), (hidden) and
         (hidden).
    fix: hub_private_repo=true

dataset ironman (train)
  rows       297, 290 kept, 7 dropped
  tokens     60,812 after the cut
  trained    13,801 tokens (22.7 %)
  lengths    min 88, median 212, p95 402, p99 588, max 702 tokens
  cutoff_len 512
  cut rows   4 (1.4 %), 412 tokens lost
             1 row without the header of the answer
             3 rows without the EOS token
             cutoff_len=702 keeps every row whole, 588 keeps 99 %
  duplicates 2 exact, 1 nearly equal

checked
  - every key is one of LLaMA-Factory's: 27
  - every row equal to the chat template: 297
  - data read at 1,834 rows a second

1 error, 1 warning
next: correct the errors, then check again:
  lf-registry check 'recipes/내 레시피.yaml' cutoff_len=512 'hf_hub_token=(hidden)'
"""
    )


def test_a_clean_report_ends_with_the_command_to_train():
    text = report_text(clean())
    assert text.endswith("no problems found\nnext:\n  llamafactory-cli train recipes/ironman_lora.yaml\n")
    assert "not checked" not in text and "error" not in text


def finding(severity="error", **changes) -> Finding:
    return Finding(severity, "a-code", "here", "what", "do", **changes)


@pytest.mark.parametrize(
    ("severities", "not_checked", "words", "command"),
    [
        ([], [], "no problems found", "llamafactory-cli train 'my r.yaml' a='b c'"),
        ([], ["x", "y"], "no problems found; 2 not checked", "llamafactory-cli train 'my r.yaml' a='b c'"),
        (["warning"], [], "1 warning", "llamafactory-cli train 'my r.yaml' a='b c'"),
        (["warning", "error", "error"], [], "2 errors, 1 warning", "lf-registry check 'my r.yaml' a='b c'"),
    ],
)
def test_verdict_and_next_command(severities, not_checked, words, command):
    report = Report("my r.yaml", {}, not_checked=not_checked, overrides=("a=b c",))
    report.add(finding(severity) for severity in severities)
    assert verdict(report) == words
    assert shlex.split(next_command(report)) == shlex.split(command)
    assert squeezed(next_command(report)) in squeezed(report_text(report))


@pytest.mark.parametrize(
    ("rows", "count", "text"),
    [
        ((), 1, ""),
        ((), 12, "12 rows"),
        ((3,), 1, "row 3"),
        ((3,), 2, "rows 3 and 1 more"),
        ((3, 17, 1052), 3, "rows 3, 17, 1052"),
        ((3, 17, 52), 2011, "rows 3, 17, 52 and 2,008 more"),
    ],
)
def test_rows(rows, count, text):
    assert rows_text(finding(rows=rows, count=count)) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0.0 %"),
        (0, 9, "0.0 %"),
        (1, 3, "33.3 %"),
        (9, 9, "100.0 %"),
        (1, 9999, "< 0.1 %"),
        (9998, 9999, "> 99.9 %"),
    ],
)
def test_a_share_is_never_rounded_to_nothing_or_all(part, whole, text):
    assert percent(part, whole) == text


def test_facts_without_a_tokenizer_say_so_and_invent_nothing():
    facts = dict(dataset_facts(DatasetReport("x", "train", rows=9, kept=9), 2048))
    assert facts == {"rows": "9, all kept", "tokens": "not counted: there is no tokenizer", "duplicates": "none"}


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}])
def test_printing_respects_the_environment(environment, capsys, monkeypatch):
    for variable in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    print_report(everything())
    print_previews([sample()], ids=False)
    printed = capsys.readouterr().out
    assert ("\x1b[" in printed) == (environment == {"FORCE_COLOR": "1"})
    assert cell_len(max(without_ansi(printed).splitlines()[:40], key=cell_len)) <= 80


def test_printing_where_the_encoding_lacks_a_character(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp949"))
    print_previews([sample()], ids=False)
    sys.stdout.flush()
    assert "타는 냄새는" in raw.getvalue().decode("cp949") and "\\u27e6" in raw.getvalue().decode("cp949")


# Samples


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


# HTML

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


def test_plots(pages):
    page = Page(pages["everything"])
    plots = [div["aria-label"] for div in page.all("div") if div.get("role") == "img"]
    assert len(plots) == len(page.all("svg")) == 4
    assert plots[0] == (
        "Histogram of the lengths of 290 rows: 88 to 702 tokens, half of the rows have 212 or fewer; cutoff_len is 512."
    )
    assert plots[1].endswith(": 40 rows at 10 to 20 %, 170 rows at 20 to 30 %, 64 rows at 30 to 40 %, "
                             "12 rows at 40 to 50 %, 4 rows at 50 to 60 %.")  # fmt: skip
    words = page.text("svg")
    assert words.count("cutoff_len 512") == 2 and "tokens in a row" in words and "are scored" in words
    beyond, none_beyond = (lengths_svg(lengths(), cutoff, "x").count("fill: var(--error)") for cutoff in (512, 720))
    assert beyond == 2 and none_beyond == 1  # the histogram beyond the cutoff, and the label
    assert not re.search(r"#0[1-4]0[1-4]0[1-4]", pages["everything"])
    assert "cutoff_len 2,048 →" in Page(pages["clean"]).text("svg")
    assert len(Page(pages["degenerate"]).all("svg")) == 2  # one row; none for no rows, no lengths, an empty histogram


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


def test_a_page_is_the_same_in_every_process_and_leaves_matplotlib_alone(pages, python, tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'tests'); from matplotlib import rcParams as p;"
        "now = lambda: {key: p[key] for key in p if key != 'backend'};"
        "from reports import everything; from lf_registry.check.html import report_html;"
        "before = now(); page = report_html(everything());"
        "assert now() == before and 'matplotlib.pyplot' not in sys.modules; sys.stdout.write(page)"
    )
    (tmp_path / "matplotlibrc").write_text("axes.linewidth: 9\naxes.grid: true\nfont.size: 30\n")
    done = python(code, MATPLOTLIBRC=str(tmp_path), PYTHONHASHSEED="7", PYTHONPATH="plugins")
    assert done.stdout == pages["everything"], done.stderr[-2000:]


# JSON


@pytest.mark.parametrize("name", NAMES)
def test_json_round_trips(name):
    value = report_json(REPORTS[name]())
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    assert json.loads(text.encode("utf-8")) == value


def test_json_has_the_documented_keys():
    report = everything()
    value = report_json(report)
    documented = set(re.findall(r"``(\w+)``", report_json.__doc__)) - {"DatasetReport"}
    assert set(value) | set(value["findings"][0]) | set(value["samples"][0]) | {"id", "text", "trained"} == documented
    assert (value["version"], value["errors"], value["warnings"]) == (1, 3, 2)
    assert value["findings"][0]["code"] == "unknown-key" and value["findings"][1]["rows"] == [3, 17, 52]
    assert value["datasets"][0]["lengths"]["edges"] == list(lengths().edges)
    assert value["samples"][0]["tokens"][-1] == {"id": 708 + 1, "text": "<|eot_id|>", "trained": True}


# Secrets


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_in_no_output(secret, pages):
    report = everything()
    assert secret in repr(report)
    outputs = [
        report_text(report),
        report_text(report, color=True),
        pages["everything"],
        json.dumps(report_json(report)),
    ]
    assert not [text for text in outputs if secret in text]
    assert all("(hidden)" in text for text in outputs)
    assert secret in repr(report), "the report itself is left as it was"


@pytest.mark.parametrize(
    "key", ["hf_hub_token", "hub_token", "swanlab_api_key", "swanlab_lark_secret", "PASSWORD", "apikey"]
)
def test_keys_that_name_a_secret(key):
    assert names_a_secret(key)
    assert hide_in_values({key: "x", "args": [{key: 1}]}) == {key: "(hidden)", "args": [{key: "(hidden)"}]}
    assert hide_in_values({key: None}) == {key: None}


@pytest.mark.parametrize(
    "value",
    [
        {"max_new_tokens": 512, "tokenized_path": "out/tokens", "use_fast_tokenizer": True, "add_tokens": "<x>,<y>"},
        {
            "ignore_pad_token_for_loss": True,
            "hub_token": None,
            "new_special_tokens_config": "a.yaml",
            "monkeys_dir": "m",
        },
        {"model_name_or_path": "Qwen/Qwen2-7B-Instruct", "learning_rate": 1e-4, "url": "http://localhost:8000/v1"},
    ],
)
def test_what_is_no_secret_is_shown(value):
    assert hide_in_values(value) == value


@pytest.mark.parametrize("prefix", ["hf_", "ghp_", "sk-", "glpat-", "xoxb-"])
def test_tokens_are_known_by_their_shape(prefix):
    token = prefix + "x" * 34
    assert hide_in_values({"run_name": f"a {token}!"}) == {"run_name": "a (hidden)!"}


# Costs


def test_importing_the_outputs_is_cheap(python):
    code = (
        "import sys; from lf_registry.check import as_json, html, plots, preview, text;"
        "print([name for name in ('rich', 'jinja2', 'matplotlib', 'torch', 'numpy') if name in sys.modules])"
    )
    assert python(code, PYTHONPATH="plugins").stdout == "[]\n"


def test_a_sample_of_many_tokens_and_a_report_of_many_findings_stay_quick():
    report = hostile()
    report.samples = [Sample("x", 1, tuple(Token(i, "가 ", i % 3 == 0) for i in range(20_000)))]
    report.findings = [finding(rows=(i,)) for i in range(1, 500)]
    assert report_html(report).count("<tr role") == 500
    assert report_text(report).count("row 499\n") == 1
    assert degenerate().samples == []
