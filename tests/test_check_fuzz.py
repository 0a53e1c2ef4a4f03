"""Whatever stands in a recipe, checking it ends in findings and not in a traceback."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import ROOT
from lf_registry.check.report import Finding
from lf_registry.check.rules import check_recipe
from lf_registry.check.schema import keys
from lf_registry.recipes import Recipe, read_recipe

BASE = read_recipe(ROOT / "tests" / "clean_recipes" / "base.yaml").values
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3000),
    st.floats(),
    st.sampled_from(["", " ", "no", "steps", "lora", "full", "dpo", "ppo", "a,b", "{", "./x", "한글", "x" * 300]),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=4), SCALARS, max_size=3))
OFTEN = sorted(
    set(BASE) | {"deepspeed", "max_steps", "val_size", "save_steps", "quantization_bit", "adapter_name_or_path"}
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.one_of(st.sampled_from(OFTEN), st.sampled_from(sorted(keys()))), VALUES, max_size=6),
    st.sampled_from([{}, BASE]),
)
def test_no_value_breaks_the_check(changes, base):
    findings = check_recipe(Recipe(Path("r.yaml"), base | changes))
    assert all(isinstance(finding, Finding) for finding in findings)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(keys())))
def test_a_default_is_no_problem_of_its_own(name):
    """A recipe that writes down a default means what it meant without."""
    default = keys()[name].default
    if isinstance(default, (bool, int, float)) and name not in BASE:
        findings = check_recipe(Recipe(Path("r.yaml"), BASE | {name: default}))
        assert all(finding.code in ("no-effect", "too-late") for finding in findings), findings
