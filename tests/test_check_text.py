"""A report in the terminal."""

from __future__ import annotations

import io
import sys

import pytest
from rich.cells import cell_len

from lf_registry.check.preview import preview_text, print_previews
from lf_registry.check.text import print_report, report_text
from lf_registry.check.words import next_command
from report_parts import sample
from report_reading import NAMES, squeezed, texts_of, without_ansi
from reports import REPORTS, clean, everything


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
