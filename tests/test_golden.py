"""Token-exact golden files: what the model sees, written down. Renew with UPDATE_GOLDEN=1 and read the diff."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import pytest

from conversations import CONVERSATIONS
from lf_registry.template_spec import KEYS, TemplateSpec
from lf_registry.templates import load_templates

GOLDEN = Path(__file__).parent / "golden"
KINDS = ("one turn", "with system", "three turns", "question mark", "kanana markers", "newlines at the edges", "emoji")
LLAMA3 = [name for name, template in load_templates().items() if template.builtin in ("llama3", None)]


def compare(path: Path, value) -> None:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"there is no {path.name} yet: run UPDATE_GOLDEN=1 make test and read what it writes"
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", LLAMA3)
def test_training_ids_with_the_real_llama3_tokenizer(name, llama3):
    from llamafactory.data.template import TEMPLATES

    template, tokenizer = TEMPLATES[name], copy.deepcopy(llama3)
    template.fix_special_tokens(tokenizer)
    golden = {}
    for kind in KINDS:
        conversation = CONVERSATIONS[kind]
        system = conversation[0]["content"] if conversation[0]["role"] == "system" else None
        pairs = template.encode_multiturn(tokenizer, conversation[1:] if system else conversation, system)
        golden[kind] = [{"prompt": str(prompt), "answer": str(answer)} for prompt, answer in pairs]
    compare(GOLDEN / f"{name}.ids.json", golden)


@pytest.mark.parametrize("name", load_templates())
def test_chat_template_text(name):
    from llamafactory.data.template import TEMPLATES

    compare(GOLDEN / f"{name}.jinja", TEMPLATES[name].jinja() + "\n")


def test_kanana_qa_is_what_the_base_model_was_given(llama3):
    """The facts the format was designed from, one by one."""
    from llamafactory.data.template import TEMPLATES

    (prompt, answer), *_ = TEMPLATES["kanana_qa"].encode_multiturn(
        llama3, [{"role": "user", "content": "파이썬이란?"}, {"role": "assistant", "content": "언어입니다."}]
    )
    marker = llama3.encode("<|question|>\n", add_special_tokens=False)
    assert len(marker) == 5 and prompt[:5] == marker
    assert prompt[0] != llama3.bos_token_id
    assert llama3.decode(prompt) == "<|question|>\n파이썬이란?\n<|answer|>\n"
    assert "?\n" in [llama3.decode([i]) for i in prompt]
    assert answer[-1] == 128001 and answer.count(128001) == 1


def test_inha_qa_is_three_blocks_and_an_answer_behind_one_space(llama3):
    from llamafactory.data.template import TEMPLATES

    question, passage, answer = "인상률은?", "요금은 1,550원이 된다.\n\n인상률은 10.7%(150원)다.", "10.7%(150원)"
    prompt, trained = TEMPLATES["inha_qa"].encode_oneturn(
        llama3, [{"role": "user", "content": f"{question}\n{passage}"}, {"role": "assistant", "content": answer}]
    )
    assert llama3.decode(prompt) == f"<|begin_of_text|>### 질문: {question}\n\n### 맥락: {passage}\n\n### 답변:"
    assert llama3.decode(trained) == f" {answer}<|end_of_text|>"
    assert (prompt[0], trained[-1], trained.count(128001)) == (128000, 128001, 1)
    whole = llama3.encode(llama3.decode(prompt + trained[:-1]), add_special_tokens=False)
    assert whole == prompt + trained[:-1], "nothing merges at the boundary"


def test_a_price_is_its_own_tokens_behind_the_dollar_sign(llama3):
    """In training as when served; three tokens hold every price under 1,000 and the dollars of every other."""
    from llamafactory.data.template import TEMPLATES

    rows = json.loads((GOLDEN.parents[1] / "datasets" / "price.json").read_text(encoding="utf-8"))
    sign = llama3.encode(" $", add_special_tokens=False)
    assert len(sign) == 1
    for row in rows:
        messages = [{"role": "user", "content": row["product"]}, {"role": "assistant", "content": row["price"]}]
        prompt, trained = TEMPLATES["price"].encode_oneturn(llama3, messages)
        assert llama3.decode(prompt) == f"<|begin_of_text|>{row['product']}\n\nPrice is $"
        assert prompt[-1:] == sign and trained[-1] == 128001
        assert llama3.decode(trained[:-1]) == row["price"]
        assert llama3.encode(f"Price is ${row['price']}", add_special_tokens=False)[-len(trained) :] == [
            *sign,
            *trained[:-1],
        ]
        first_three = llama3.decode(trained[:3])
        assert first_three == row["price"] if float(row["price"]) < 1000 else float(first_three) == int(first_three[:4])


def test_no_golden_file_is_left_over():
    expected = {f"{name}.jinja" for name in load_templates()} | {f"{name}.ids.json" for name in LLAMA3}
    assert {
        path.name for path in GOLDEN.iterdir() if path.is_file() and not path.name.startswith("modelfile")
    } == expected


def test_every_key_of_a_template_file_is_described():
    for key in KEYS:
        assert f"{key}" in (TemplateSpec.__doc__ or ""), key
