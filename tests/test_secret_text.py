"""What counts as a secret, by its name or its shape."""

from __future__ import annotations

import pytest

from lf_registry.secret_text import hide_in_values, names_a_secret


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
