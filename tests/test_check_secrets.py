"""A secret in a recipe is found, and no output shows it."""

from __future__ import annotations

import json

import pytest

from lf_registry.check.as_json import report_json
from lf_registry.check.report import Report
from lf_registry.check.rules import check_recipe
from lf_registry.check.text import report_text
from report_reading import SECRETS
from reports import everything

FAKE = {
    "a Hugging Face token": "hf_" + "x" * 34,
    "a GitHub token": "ghp_" + "x" * 36,
    "an AWS key": "AKIA" + "X" * 16,
    "an OpenAI or Anthropic key": "sk-" + "x" * 40,
    "a Google key": "AIza" + "x" * 35,
    "a Slack token": "xoxb-" + "0" * 20,
    "a Weights & Biases key": "0123456789" * 4,
}


@pytest.mark.parametrize("kind", FAKE)
@pytest.mark.parametrize(
    "key", ["run_name", "template", "dataset", "lora_rank", "hub_token", "no_such_key", "deepspeed"]
)
def test_a_secret_is_found_and_never_shown(checkpoints, kind, key):
    from lf_registry.check.hidden import without_secrets

    recipe = checkpoints(**{key: {"a": [FAKE[kind]]} if key == "deepspeed" else FAKE[kind]})
    findings = check_recipe(recipe)
    assert any(finding.code == "secret" and key in finding.where for finding in findings)
    assert FAKE[kind] not in repr(findings)
    assert FAKE[kind] not in repr(without_secrets(Report("r.yaml", recipe.values)).values)
    assert kind in repr(findings) or key == "hub_token"


def test_a_commit_is_no_secret(checkpoints):
    assert check_recipe(checkpoints(model_revision=FAKE["a Weights & Biases key"])) == []


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
