"""Every broken recipe on disk gives its own finding and no other; clean ones give none."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from broken_recipes import BROKEN, CLEAN, SHIPPED, fits, headers, stem
from conftest import ROOT
from lf_registry.check import facts
from lf_registry.check.rules import check_recipe
from lf_registry.recipes import read_recipe

CHECK = ROOT / "plugins" / "lf_registry" / "check"


@pytest.mark.parametrize("path", BROKEN, ids=stem)
def test_a_broken_recipe_has_its_finding_and_no_other(path):
    expected = headers(path, "expect")
    findings = check_recipe(read_recipe(path))
    assert expected
    assert len(findings) == len(expected), findings
    for line in expected:
        assert any(fits(line, finding) for finding in findings), (line, findings)
    for finding in findings:
        assert finding.where.startswith(str(path))
        assert finding.message.strip() and finding.fix.strip()
        assert not finding.message.endswith("."), "one sentence or two; the report adds the point"


@pytest.mark.parametrize("path", SHIPPED + CLEAN, ids=stem)
def test_a_clean_recipe_has_no_findings(path):
    assert check_recipe(read_recipe(path)) == []


def _call_sites() -> dict[tuple[str, int], str]:
    """Where a finding is made: (file, line) -> its code."""
    found = {}
    for path in CHECK.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id
            if called in ("error", "warning", "found") and len(node.args) == 5:
                assert isinstance(node.args[1], ast.Constant), (path, node.lineno)
                found[path.name, node.lineno] = node.args[1].value
    return found


def test_every_message_has_a_broken_recipe(monkeypatch, checkpoints):
    """Neither a message nor a code exists that no test has seen; those of the machine have their own tests above."""
    seen: set[tuple[str, int]] = set()
    make = facts.Finding

    def recording(*arguments):
        frame = sys._getframe(2)
        seen.add((Path(frame.f_code.co_filename).name, frame.f_lineno))
        return make(*arguments)

    monkeypatch.setattr(facts, "Finding", recording)
    for path in BROKEN:
        check_recipe(read_recipe(path))
    of_the_machine = {"broken-checkpoint", "resume", "bf16-gpu", "space-in-path"}
    missing = {site: code for site, code in _call_sites().items() if site not in seen and code not in of_the_machine}
    # ALLOW_EXTRA_ARGS; overwrite_output_dir; weights of a finished run
    assert sorted(missing.values()) == ["output-dir", "output-dir", "unknown-key"], missing
    assert of_the_machine <= set(_call_sites().values())
    assert len(BROKEN) >= 45
