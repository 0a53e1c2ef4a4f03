from __future__ import annotations

import doctest

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lf_registry import chat_format as chat_format_module
from lf_registry.chat_format import UnsupportedFormat, chat_format, split_generation_prompt
from lf_registry.jinja import chat_template, literal
from lf_registry.safe_text import clean, control_tokens, defuse

CHAT = chat_format(
    prefix=[{"bos_token"}],
    system=["<sys>{{content}}</sys>\n"],
    user=["<|user|>\n{{content}}<|end|>\n<|bot|>\n"],
    assistant=["{{content}}<|end|>\n"],
    default_system="페르소나 'a' \"b\" \\n \\ {{ x }} {% y %} {# z #}\n둘째 줄",
)


def render(template: str, messages, **values) -> str:
    def raise_exception(message):
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    return environment.from_string(template).render(messages=messages, bos_token="<s>", eos_token="</s>", **values)


def test_the_persona_comes_out_exactly_as_written():
    text = render(chat_template(CHAT, []), [{"role": "user", "content": "안녕"}])
    assert text == f"<s><sys>{CHAT.default_system}</sys>\n<|user|>\n안녕<|end|>\n"


def test_the_generation_prompt_comes_only_when_asked_for():
    messages = [{"role": "user", "content": "안녕"}]
    template = chat_template(CHAT, [])
    asked = render(template, messages, add_generation_prompt=True)
    assert asked == render(template, messages) + "<|bot|>\n"
    answered = render(template, [*messages, {"role": "assistant", "content": "응"}])
    assert answered == asked + "응<|end|>\n"


def test_a_given_system_message_replaces_the_persona():
    text = render(
        chat_template(CHAT, []), [{"role": "system", "content": " 새 지시 "}, {"role": "user", "content": "x"}]
    )
    assert text.startswith("<s><sys>새 지시</sys>\n<|user|>")
    assert "페르소나" not in text


def test_white_space_control_does_not_depend_on_the_environment():
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    environment = jinja2.Environment()
    assert environment.from_string(chat_template(CHAT, [])).render(messages=messages, bos_token="<s>") == render(
        chat_template(CHAT, []), messages
    )


@pytest.mark.parametrize("role", ["tool", "critic"])
def test_a_role_without_a_place_is_an_error_and_not_dropped(role):
    with pytest.raises(jinja2.TemplateError, match=f"no place for the role {role}"):
        render(chat_template(CHAT, []), [{"role": role, "content": "x"}])


def test_tools_are_refused_and_not_dropped():
    with pytest.raises(jinja2.TemplateError, match="does not support tools"):
        render(chat_template(CHAT, []), [{"role": "user", "content": "x"}], tools=[{}])


def test_tokens_are_text_with_a_tokenizer_and_variables_without():
    chat = chat_format(
        prefix=[{"bos_token"}], system=["{{content}}"], user=["{{content}}\n"], assistant=["{{content}}", {"eos_token"}]
    )
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert render(chat_template(chat, []), messages) == "<s>a\nb</s>"
    written = chat_template(chat, [], bos="", eos="<|끝|>")
    assert "eos_token" not in written and "bos_token" not in written
    assert render(written, messages) == "a\nb<|끝|>"


def test_masks_are_only_in_the_variant_for_masks():
    assert "generation -%}" not in chat_template(CHAT, [])
    assert "{%- generation -%}" in chat_template(CHAT, [], masks=True)


@given(st.text())
def test_a_literal_means_exactly_its_text(text):
    assert jinja2.Environment().from_string("{{ " + literal(text) + " }}").render() == text


@given(st.lists(st.sampled_from([*"<|>eot_id s/", "<|eot_id|>", "<s>", "한"])))
def test_no_control_token_survives_cleaning(pieces):
    text = "".join(pieces)
    tokens = ["<|eot_id|>", "<s>"]
    cleaned = clean(text, tokens)
    assert not any(token in cleaned for token in tokens)
    assert cleaned == clean(cleaned, tokens)


def test_control_tokens_of_a_format():
    texts = ["<|im_start|>user\n", "<|im_end|>\n", "[INST] ", "a < b | c", "<s>", "</s>"]
    assert control_tokens(texts) == ["<|im_start|>", "<|im_end|>", "[INST]", "</s>", "<s>"]
    assert defuse("<|im_end|>") == "<| im_end|>"


def test_where_the_users_turn_ends():
    assert split_generation_prompt("<|eot|><|bot|>\n", "<|eot|>") == ("<|eot|>", "<|bot|>\n")
    assert split_generation_prompt("\n\n### 답변:", "") == ("\n\n", "### 답변:")
    assert split_generation_prompt("[/INST]", "</s>") == ("", "[/INST]")
    assert doctest.testmod(chat_format_module).failed == 0


@pytest.mark.parametrize(
    "slots", [["no content"], ["{{content}}{{content}}"], ["{{content}}{{idx}}"], ["{{content}}", 3]]
)
def test_slots_that_no_chat_template_can_repeat(slots):
    with pytest.raises(UnsupportedFormat):
        chat_format(prefix=[], system=["{{content}}"], user=slots, assistant=["{{content}}"])
