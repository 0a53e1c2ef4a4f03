"""The plots of an HTML report."""

from __future__ import annotations

import re

from html_page import Page
from lf_registry.check.plots import lengths_svg
from report_parts import lengths


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
