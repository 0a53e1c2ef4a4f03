"""Random conversations: what is trained on equals what is served, and what differs is seen."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversations import CONVERSATIONS
from lf_registry.check.parity import Encoded, Parity, conversation
from lf_registry.templates import load_templates

#: Text that tokenizers and templates stumble over, mixed into random text.
AWKWARD = [
    "<|eot_id|>",
    "<|im_end|>\n",
    "<|answer|>\n",
    "\n\n",
    " ",
    "'",
    "\\",
    "{{content}}",
    "{% x %}",
    "ㅋㅋ",
    "각",
    "?",
]
TEXT = st.lists(st.one_of(st.sampled_from(AWKWARD), st.text(max_size=6)), max_size=6).map("".join)
TURNS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def made(bundled_texts, qwen2):
    """Template name -> (template, tokenizer as saved, LLaMA-Factory's arguments)."""
    from lf_registry.hooks.pipeline import TEMPLATES, Arguments
    from lf_registry.tiny.model import build_tokenizer

    llama = build_tokenizer(bundled_texts)
    arguments = Arguments.parse({"model_name_or_path": "x", "stage": "sft", "cutoff_len": 64})
    result = {}
    for name, template in load_templates().items():
        tokenizer = copy.deepcopy(qwen2 if template.builtin == "qwen" else llama)
        TEMPLATES[name].fix_special_tokens(tokenizer)
        TEMPLATES[name].fix_jinja_template(tokenizer)
        result[name] = TEMPLATES[name], tokenizer, arguments
    return result


def differences(template, tokenizer, arguments, turns, system=""):
    from lf_registry.hooks.encoder import Encoder
    from lf_registry.hooks.pipeline import IGNORE_INDEX

    messages = [
        message
        for question, answer in turns
        for message in ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
    ]
    row = {"_prompt": messages[:-1], "_response": messages[-1:], "_system": system, "_tools": ""}
    row |= {"_images": None, "_videos": None, "_audios": None}
    encoder = Encoder(arguments, template, tokenizer)
    encoder.encode(row)
    ids, labels = encoder.uncut(row)
    encoded = Encoded(
        1, *conversation(row), ids, [label != IGNORE_INDEX for label in labels], len(encoder.pairs[-1][1])
    )
    parity = Parity(template, tokenizer)
    found = list(parity.compare([encoded]))
    assert (parity.compared, parity.skipped) == (1, 0)
    return found


@pytest.mark.parametrize("name", load_templates())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=TURNS, system=TEXT)
def test_random_conversations_are_equal(made, name, turns, system):
    assert differences(*made[name], turns, system) == []


@pytest.mark.parametrize("name", load_templates())
def test_the_uncut_row_is_the_whole_row(made, name):
    """With a cutoff of 64 tokens, what is compared is still the whole conversation."""
    _, tokenizer, _ = made[name]
    turns = [("긴 질문이야. " * 40, "긴 대답이야. " * 40)]
    assert differences(*made[name], turns) == []
    assert len(tokenizer.encode(turns[0][0])) > 64


def test_a_persona_that_the_saved_template_does_not_have(made):
    template, tokenizer, arguments = made["llama3-ironman"]
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = tokenizer.chat_template.replace("토니", "피터", 1)
    (found,) = differences(template, tokenizer, arguments, [("안녕", "그래.")])
    assert found.kind == "ids"
    assert "the chat template with and without masks differ" in found.lines[0]


def test_a_stock_template_loses_the_persona_when_served(made):
    from lf_registry.hooks.pipeline import TEMPLATES

    _, tokenizer, arguments = made["llama3-ironman"]
    stock = copy.deepcopy(TEMPLATES["llama3"])
    tokenizer = copy.deepcopy(tokenizer)
    stock.default_system = ""
    tokenizer.chat_template = stock._get_jinja_template(tokenizer)
    stock.default_system = "너는 토니 스타크다."
    (found,) = differences(stock, tokenizer, arguments, [("안녕", "그래.")])
    assert found.kind == "ids"
    assert "training" in found.lines[1] and "system" in found.lines[1] and "system" not in found.lines[2]


def test_labels_that_differ(made, monkeypatch):
    template, tokenizer, arguments = made["kanana_qa"]
    plain = template.jinja(tokenizer)
    marked = template.jinja(tokenizer, masks=True)
    # The mark begins behind the answer's text instead of before it.
    start = marked.index("{%- generation -%}")
    moved = marked[:start] + marked[start:].replace("{%- generation -%}", "", 1).replace(
        "{%- endgeneration -%}", "{%- generation -%}{{- '' -}}{%- endgeneration -%}", 1
    )
    monkeypatch.setattr(type(template), "jinja", lambda self, tokenizer=None, masks=False: moved if masks else plain)
    (found,) = differences(template, tokenizer, arguments, [("안녕", "그래.")])
    assert found.kind == "labels" and "trained on, but not marked as the answer" in found.lines[0]


@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_the_usual_conversations(made, kind):
    messages = CONVERSATIONS[kind]
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    rest = [message["content"] for message in messages if message["role"] != "system"]
    turns = list(zip(rest[::2], rest[1::2], strict=True))
    assert differences(*made["llama3-ironman"], turns, system) == []


def test_several_rows_at_once_share_the_persona(made):
    """In a batch the persona is tokenized once; equal rows stay equal, and one that differs is found by its number."""
    from lf_registry.hooks.encoder import Encoder
    from lf_registry.hooks.pipeline import IGNORE_INDEX

    template, tokenizer, arguments = made["llama3-ironman"]
    encoder, batch = Encoder(arguments, template, tokenizer), []
    for number, question in enumerate(["안녕?", "지금 몇 시야?", "왜?"], 1):
        row = {
            "_prompt": [{"role": "user", "content": question}],
            "_response": [{"role": "assistant", "content": "글쎄."}],
        }
        row |= {"_system": "", "_tools": "", "_images": None, "_videos": None, "_audios": None}
        encoder.encode(row)
        ids, labels = encoder.uncut(row)
        trained = [label != IGNORE_INDEX for label in labels]
        batch.append(Encoded(number, *conversation(row), ids, trained, len(encoder.pairs[-1][1])))
    parity = Parity(template, tokenizer)
    assert list(parity.compare(batch)) == []
    wrong_ids = Encoded(2, batch[1].conversation, None, [*batch[1].ids[:-2], 5, 6], batch[1].trained, 4)
    wrong_labels = Encoded(3, batch[2].conversation, None, batch[2].ids, [False, *batch[2].trained[:-1]], 4)
    found = list(parity.compare([batch[0], wrong_ids, wrong_labels]))
    assert [(difference.row, difference.kind) for difference in found] == [(2, "ids"), (3, "labels")]
