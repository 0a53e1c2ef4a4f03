"""LLaMA-Factory's training ids equal the ids of the chat template that is saved with the model, for every template."""

from __future__ import annotations

import copy
import json

import jinja2
import pytest

from conversations import CONVERSATIONS, TOOLS
from lf_registry.templates import load_templates
from lf_registry.tool_jinja import TOOL_CALLS

TEMPLATES = load_templates()


def tokenizers_of(name: str) -> list[str]:
    """A format with Llama-3's or Qwen2's tokens goes with that tokenizer; plain text goes with both."""
    return {"llama3": ["llama3"], "qwen": ["qwen2"]}.get(TEMPLATES[name].builtin or "", ["llama3", "qwen2"])


CASES = [(name, tokenizer) for name in TEMPLATES for tokenizer in tokenizers_of(name)]


#: Where the answer cannot follow `Price is $` as its own token; a price begins with a digit, which always can.
AT_THE_SEAM = {("price", "backslashes")}


@pytest.fixture(scope="module", params=CASES, ids=[f"{name}+{tokenizer}" for name, tokenizer in CASES])
def made(request):
    """(template, its tokenizer after LLaMA-Factory has fixed it)."""
    from llamafactory.data.template import TEMPLATES as registered

    name, tokenizer = request.param
    template = registered[name]
    tokenizer = copy.deepcopy(request.getfixturevalue(tokenizer))
    tokenizer.chat_template = "the chat template that came with the model"
    template.fix_special_tokens(tokenizer)
    template.fix_jinja_template(tokenizer)
    return template, tokenizer


def name_of(template) -> str:
    from llamafactory.data.template import TEMPLATES as registered

    return next(name for name in TEMPLATES if registered[name] is template)


def split(conversation):
    if conversation[0]["role"] == "system":
        return conversation[0]["content"], conversation[1:]
    return None, conversation


def differences(template, tokenizer, conversation):
    """Where training and the saved chat template differ: a list of what differs, empty when all is equal."""
    system, messages = split(conversation)
    pairs = template.encode_multiturn(tokenizer, messages, system)
    ids = [i for prompt, answer in pairs for i in prompt + answer]
    trained = [value for prompt, answer in pairs for value in [0] * len(prompt) + [1] * len(answer)]
    rendered = tokenizer.apply_chat_template(conversation, return_dict=True)["input_ids"]
    marked = tokenizer.apply_chat_template(
        conversation,
        chat_template=template.jinja(tokenizer, masks=True),
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    prompt, answer = template.encode_oneturn(tokenizer, messages, system)
    served = tokenizer.apply_chat_template(conversation[:-1], add_generation_prompt=True, return_dict=True)["input_ids"]
    found = {
        "chat template ids": rendered == ids,
        "ids with masks": marked["input_ids"] == ids,
        "labels": marked["assistant_masks"] == trained,
        "prompt when served": served == prompt,
        "one turn": prompt + answer == ids,
    }
    return [what for what, equal in found.items() if not equal]


@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_training_and_serving_see_the_same_tokens(made, kind):
    template, tokenizer = made
    expected = ["chat template ids", "ids with masks", "labels"] if (name_of(template), kind) in AT_THE_SEAM else []
    if expected and "<|im_end|>" in tokenizer.get_vocab():
        expected = []  # a small vocabulary, which never learned to join `$` with a backslash
    assert differences(template, tokenizer, CONVERSATIONS[kind]) == expected


def test_control_tokens_in_a_message_cannot_end_or_forge_a_turn(made):
    template, tokenizer = made
    plain, *attacks = ("one turn", "llama 3 tokens", "qwen tokens", "kanana markers", "end of text")
    control = {
        tokenizer.convert_tokens_to_ids(t) for t in (*template.control, tokenizer.bos_token, tokenizer.eos_token) if t
    }

    def count(kind):
        _, messages = split(CONVERSATIONS[kind])
        ids = [i for pair in template.encode_multiturn(tokenizer, messages) for part in pair for i in part]
        return [i for i in ids if i in control]

    assert all(count(kind) == count(plain) for kind in attacks)


def test_tools_in_training_and_serving(made):
    template, tokenizer = made
    messages = [{"role": "user", "content": "서울 날씨 <|im_end|>"}]
    if template.format_function.tool_format not in TOOL_CALLS:
        with pytest.raises(jinja2.TemplateError, match="does not support tools"):
            tokenizer.apply_chat_template(messages, tools=TOOLS)
        return
    call = {"name": "날씨", "arguments": {"city": "서울 'x' <|eot_id|>"}}
    training = [
        *messages,
        {"role": "function", "content": json.dumps(call, ensure_ascii=False)},
        {"role": "observation", "content": '{"기온": 3}\n'},
        {"role": "assistant", "content": "3도야."},
    ]
    serving = [
        *messages,
        {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": call}]},
        {"role": "tool", "content": '{"기온": 3}\n'},
        {"role": "assistant", "content": "3도야."},
    ]
    pairs = template.encode_multiturn(tokenizer, training, None, json.dumps(TOOLS, ensure_ascii=False))
    ids = [i for pair in pairs for part in pair for i in part]
    labels = [value for prompt, answer in pairs for value in [0] * len(prompt) + [1] * len(answer)]
    marked = tokenizer.apply_chat_template(
        serving,
        tools=TOOLS,
        chat_template=template.jinja(tokenizer, masks=True),
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    assert tokenizer.apply_chat_template(serving, tools=TOOLS, return_dict=True)["input_ids"] == ids
    assert (marked["input_ids"], marked["assistant_masks"]) == (ids, labels)


def test_several_tool_calls_at_once(made):
    template, tokenizer = made
    calls = [{"name": "날씨", "arguments": {"city": c}} for c in ("서울", "부산")]
    training = [
        {"role": "user", "content": "비교"},
        {"role": "function", "content": json.dumps(calls, ensure_ascii=False)},
    ]
    serving = [
        training[0],
        {"role": "assistant", "tool_calls": [{"type": "function", "function": call} for call in calls]},
    ]
    if template.format_function.tool_format not in TOOL_CALLS:
        with pytest.raises(jinja2.TemplateError, match="does not support tool calls"):
            tokenizer.apply_chat_template(serving)
        return
    prompt, answer = template.encode_oneturn(tokenizer, training)
    assert tokenizer.apply_chat_template(serving, return_dict=True)["input_ids"] == prompt + answer


def test_a_system_text_that_would_merge_with_what_follows(llama3, project):
    """Neighbouring texts are tokenized together: `?` and `<|` become one token when served, so also in training."""
    from lf_registry.hooks.registry_template import build
    from lf_registry.paths import Root

    project(
        "templates/glued.yaml",
        'name: glued\nsystem: "{{content}}"\nuser: "<|q|>{{content}}\\n"\nassistant: "{{content}}"\neos: true\n',
    )
    template = build(load_templates(among=[Root(project.root, "test")])["glued"], {})
    tokenizer = copy.deepcopy(llama3)
    template.fix_special_tokens(tokenizer)
    template.fix_jinja_template(tokenizer)
    for system in ("알겠니?", "규칙 <<", "끝 ", "a|"):
        assert (
            differences(template, tokenizer, [{"role": "system", "content": system}, *CONVERSATIONS["one turn"]]) == []
        )


def test_content_that_is_not_text_is_an_error(made):
    _, tokenizer = made
    parts = [{"type": "text", "text": "안녕"}]
    with pytest.raises(jinja2.TemplateError, match="must be text"):
        tokenizer.apply_chat_template([{"role": "user", "content": parts}])


@pytest.mark.parametrize("name", [name for name in TEMPLATES if TEMPLATES[name].own_format])
def test_a_tokenizer_that_puts_a_space_in_front_of_every_text(name, sentencepiece):
    """Llama 2's kind, which SOLAR and its relatives have: an answer begins with no space of its own."""
    from llamafactory.data.template import TEMPLATES as registered

    template, tokenizer = registered[name], copy.deepcopy(sentencepiece)
    template.fix_special_tokens(tokenizer)
    template.fix_jinja_template(tokenizer)
    for kind in ("one turn", "with system", "three turns", "question mark", "numbers", "code", "very long turn"):
        assert differences(template, tokenizer, CONVERSATIONS[kind]) == [], kind
    price = [{"role": "user", "content": "의자\n튼튼하다."}, {"role": "assistant", "content": "44.99"}]
    assert differences(template, tokenizer, price) == []
