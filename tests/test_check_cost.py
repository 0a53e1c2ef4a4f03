"""What the check costs: imports and time."""

from __future__ import annotations

from lf_registry.check.html import report_html
from lf_registry.check.report import Sample, Token
from lf_registry.check.text import report_text
from report_parts import finding
from reports import hostile


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


def test_the_recipe_is_checked_without_heavy_imports(python):
    code = """
import sys, time
start = time.perf_counter()
from lf_registry.check.rules import check_recipe
from lf_registry.recipes import read_recipe
assert check_recipe(read_recipe("recipes/ironman_lora.yaml")) == []
assert time.perf_counter() - start < 4
assert not {"torch", "transformers", "llamafactory", "huggingface_hub"} & set(sys.modules)
"""
    result = python(code, LF_REGISTRY_DISABLE="1", PYTHONPATH="plugins")
    assert result.returncode == 0, result.stderr
