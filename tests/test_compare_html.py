"""The page: whole, safe, and working in a browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from html_page import Page
from lf_registry.compare.conclude import summarize
from lf_registry.compare.html import MOST_ROWS, report_html
from lf_registry.compare.metrics import chosen
from lf_registry.compare.prompts import Prompt
from lf_registry.compare.rows import make_rows

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVIL = "<script>document.title='taken'</script><img src=x onerror=alert(1)> \u202e&amp;"
#: Question, before, after, reference.
ASKED = [
    ("수도는 어디인가요?", "부산입니다.", "서울입니다.", "서울입니다."),
    ("한글을 만든 왕은?", "세종대왕입니다.", "태조입니다.", "세종대왕입니다."),
    ("일주일은 며칠?", "칠 일입니다.", "칠 일입니다.", "칠 일입니다."),
    (EVIL, "", f"{EVIL} 1. 2. 3. 4. 5.", None),
]


class Log:
    timings = ()


def page(asked=ASKED, **options) -> str:
    prompts = [Prompt("mine", i, ({"role": "user", "content": q},), r) for i, (q, _, _, r) in enumerate(asked, 1)]
    answers = {
        side: {i: {"text": row[column], "tokens": 3, "stopped": True} for i, row in enumerate(asked)}
        for side, column in (("before", 1), ("after", 2))
    }
    systems = {side: [""] * len(asked) for side in answers}
    metrics = chosen(["exact_match,f1"])
    rows = make_rows(prompts, answers, {}, systems, metrics)
    about = {"base": "plain", "tuned": f"tuned {EVIL}"}
    summary = summarize(rows, metrics, Log(), about=about, settings={"prompts": len(rows)}, notes=["참고"], **options)
    return report_html(summary, rows, metrics)


def test_one_file_that_reaches_for_nothing():
    text = page()
    found = Page(text)
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)", text.replace("src=x", ""))
    assert "url(http" not in text and "@import" not in text and len(found.all("script")) == 1
    assert all(tag != "img" for tag, _ in found.elements) and "taken" in found.text()
    policy = next(a["content"] for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "sha256-" in policy
    assert "\u202e" not in text and page() == text


def test_what_stands_on_the_page():
    found = Page(page())
    kinds = [attributes["data-kinds"].split() for attributes in found.all("article")]
    assert kinds == [["flip", "better"], ["flip", "worse"], [], ["flip", "worse", "better", "wrong"]]
    marked = [text for path, text in found.data if path and path[-1] in ("ins", "del")]
    assert marked[:2] == ["부산", "서울"] and "칠" not in "".join(marked)
    assert "1 better, 1 worse, 1 equal" in found.text() and len(found.all("figure")) == 3
    labels = [attributes["aria-label"] for attributes in found.all("div") if attributes.get("role") == "img"]
    assert "exact_match by prompt: better on 1, worse on 1, equal on 1." in labels


def test_many_prompts_show_those_that_changed():
    asked = [(f"질문 {i}", "가", "가", "가") for i in range(MOST_ROWS + 5)] + [("바뀐 질문", "가", "나", "가")]
    found = Page(page(asked))
    assert len(found.all("article")) == MOST_ROWS and "바뀐 질문" in found.text()
    assert f"{MOST_ROWS} of {MOST_ROWS + 6} prompts" in found.text()


#: Picks each filter in turn and writes what is shown into the page; a window as wide as a phone must not scroll.
PROBE = """
<script>
window.addEventListener("load", () => {
  const said = [];
  for (const input of document.querySelectorAll("#filter input")) {
    input.click();
    said.push(input.value + "=" + [...document.querySelectorAll("article")].filter((row) => !row.hidden).length);
  }
  said.push("wide=" + (document.documentElement.scrollWidth - document.documentElement.clientWidth));
  said.push("title=" + document.title.slice(0, 12));
  const probe = document.createElement("pre");
  probe.id = "probe";
  probe.textContent = said.join(" ");
  document.body.append(probe);
});
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [500, 1200])
def test_in_a_browser(tmp_path, width):
    # The page's own policy allows no other script than its own: for the probe it is taken out.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page())
    path = tmp_path / "report.html"
    path.write_text(text.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    shown = browse(tmp_path, "--dump-dom", f"--window-size={width},900", path.as_uri())
    probe = re.search(r'<pre id="probe">(.*?)</pre>', shown)[1]
    assert probe == "all=4 flip=3 worse=2 better=2 wrong=1 wide=0 title=tuned <scrip".replace("<", "&lt;")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_its_own_policy_lets_its_script_run(tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page(), encoding="utf-8")
    shown = browse(tmp_path, "--dump-dom", path.as_uri())
    assert re.search(r'<fieldset id="filter">', shown) and "4 shown" in shown


def browse(folder, *arguments: str) -> str:
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    environment = {**os.environ, "HOME": str(folder)}
    result = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=180, env=environment, check=False
    )
    return result.stdout
