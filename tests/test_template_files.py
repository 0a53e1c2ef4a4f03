"""Broken template files: one error that lists everything wrong, with file and key."""

from __future__ import annotations

import pytest

from lf_registry.errors import UserError
from lf_registry.templates import builtin_template_names, get_template, load_templates

OWN = 'user: "<q>{{content}}\\n"\nassistant: "{{content}}"\neos: true\n'

BROKEN = {
    "unknown key": (
        "a",
        "name: a\nextends: llama3\ndefault_systm: x\n",
        "default_systm: unknown key; did you mean 'default_system'",
    ),
    "no name": ("a", "extends: llama3\ndefault_system: x\n", "name: is missing; for this file write `name: a`"),
    "other name": ("a", "name: b\nextends: llama3\ndefault_system: x\n", "the file is named 'a'"),
    "bad name": ("a b", "name: a b\nextends: llama3\ndefault_system: x\n", "letters, digits"),
    "built-in name": (
        "llama3",
        "name: llama3\nextends: qwen\ndefault_system: x\n",
        "is a template of LLaMA-Factory itself",
    ),
    "unknown extends": (
        "a",
        "name: a\nextends: lama3\ndefault_system: x\n",
        "extends: 'lama3' does not exist; did you mean 'llama3'",
    ),
    "extends itself": ("a", "name: a\nextends: a\ndefault_system: x\n", "goes round in a circle: a -> a"),
    "no persona": ("a", "name: a\nextends: llama3\n", "default_system: is empty"),
    "persona of nobody": (
        "a",
        "name: a\nextends: llama3\ndefault_system_of: b\n",
        "default_system_of: 'b' does not exist",
    ),
    "two personas": (
        "a",
        "name: a\nextends: llama3\ndefault_system: x\ndefault_system_of: kanana-ironman\n",
        "remove one of the two",
    ),
    "persona of a format": ("a", "name: a\nextends: llama3\ndefault_system_of: kanana_qa\n", "has no default_system"),
    "format and extends": ("a", "name: a\nextends: llama3\ndefault_system: x\neos: true\n", "remove eos"),
    "no content": (
        "a",
        'name: a\nuser: "hi"\nassistant: "{{content}}"\neos: true\n',
        "user: must contain {{content}} exactly once",
    ),
    "content twice": (
        "a",
        'name: a\nuser: "{{content}}{{content}}"\nassistant: "{{content}}"\neos: true\n',
        "exactly once",
    ),
    "other placeholder": (
        "a",
        'name: a\nuser: "{{idx}}{{content}}"\nassistant: "{{content}}"\neos: true\n',
        "only placeholder",
    ),
    "no assistant": ("a", 'name: a\nuser: "{{content}}\\n"\n', "assistant: missing"),
    "neither": ("a", "name: a\n", "user and assistant: missing; write them, or `extends:`"),
    "never ends": ("a", 'name: a\nuser: "{{content}}\\n"\nassistant: "{{content}}"\n', "eos: an answer never ends"),
    "stop word not in answer": (
        "a",
        'name: a\nuser: "{{content}}\\n"\nassistant: "{{content}}"\nstop_words: [X]\n',
        "'X' is not in `assistant`",
    ),
    "replace_eos alone": ("a", f"name: a\n{OWN}replace_eos: true\n", "replace_eos: needs stop_words"),
    "space at the seam": (
        "a",
        'name: a\nuser: "Q: {{content}} A: "\nassistant: "{{content}}"\neos: true\n',
        "user: ends with a space",
    ),
    "placeholder in the query": ("a", f"name: a\n{OWN}query: '{{{{content}}}}'\n", "query: takes no placeholder"),
    "query of a persona": ("a", "name: a\nextends: llama3\ndefault_system: x\nquery: y\n", "remove query"),
    "nowhere for the persona": ("a", f"name: a\n{OWN}default_system: x\n", "system: missing"),
    "a number as name": ("007", "name: '007'\nextends: llama3\ndefault_system: x\n", "must begin with a letter"),
    "an impossible date": ("a", "name: a\ndescription: 2024-13-45\n", "month must be in 1..12"),
    "control token in the persona": (
        "a",
        "name: a\nextends: llama3\ndefault_system: x <|eot_id|>\n",
        "contains <|eot_id|>",
    ),
    "three quotes": ("a", 'name: a\nextends: llama3\ndefault_system: \'x """ y\'\n', "Ollama Modelfile cannot hold"),
    "wrong type": (
        "a",
        "name: a\nextends: llama3\ndefault_system: [x]\n",
        "default_system: must be text, is ['x']",
    ),
    "text for true": (
        "a",
        'name: a\nuser: "{{content}}\\n"\nassistant: "{{content}}"\neos: "ja"\n',
        "eos: must be true or false, is 'ja'",
    ),
    "key twice": (
        "a",
        "name: a\nextends: llama3\nname: a\ndefault_system: x\n",
        "line 3, column 1: key 'name' stands twice",
    ),
    "not YAML": ("a", "name: [a\n", "line 2, column 1"),
    "a list": ("a", "- a\n", "must hold `key: value` lines"),
    "empty": ("a", "", "must hold `key: value` lines"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_says_what_is_wrong_where(case, project):
    stem, text, message = BROKEN[case]
    path = project(f"templates/{stem}.yaml", text)
    with pytest.raises(UserError) as caught:
        load_templates()
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "next: " in str(caught.value)


def test_all_problems_of_all_files_come_at_once(project):
    project("templates/a.yaml", "name: a\nextends: lama3\n")
    project("templates/b.yaml", 'name: c\nuser: "x"\nassistent: "y"\n')
    with pytest.raises(UserError) as caught:
        load_templates()
    text = str(caught.value)
    assert "a.yaml: default_system" in text
    assert "b.yaml: user" in text and "b.yaml: assistent" in text
    assert len(caught.value.problems) == 3


def test_a_circle_of_three(project):
    for name, parent in (("a", "b"), ("b", "c"), ("c", "a")):
        project(f"templates/{name}.yaml", f"name: {name}\nextends: {parent}\ndefault_system: x\n")
    with pytest.raises(UserError, match="a -> b -> c -> a"):
        load_templates()


def test_a_link_to_a_broken_file_is_reported_once_with_its_cause(project):
    project("templates/a.yaml", "name: a\nextends: nothing\ndefault_system: x\n")
    project("templates/b.yaml", "name: b\nextends: a\ndefault_system: x\n")
    with pytest.raises(UserError) as caught:
        load_templates()
    assert sum("'nothing' does not exist" in problem for problem in caught.value.problems) == 1
    assert any("b.yaml: extends: 'a' has a problem of its own" in problem for problem in caught.value.problems)


def test_a_persona_on_a_format_without_a_place_for_it(project):
    project("templates/a.yaml", f"name: a\n{OWN}")
    project("templates/b.yaml", "name: b\nextends: a\ndefault_system: x\n")
    with pytest.raises(UserError, match=r"b\.yaml: default_system: 'a' has no `system:`"):
        load_templates()


def test_brackets_and_tags_in_a_persona_are_fine(project):
    project("templates/a.yaml", "name: a\nextends: llama3\ndefault_system: 제목은 [FAQ]로 시작하고 <b>굵게</b> 쓴다.\n")
    assert "[FAQ]" in load_templates()["a"].default_system


def test_not_utf8(project):
    path = project("templates/a.yaml", "")
    path.write_bytes("name: a\ndefault_system: 한글".encode("cp949"))
    with pytest.raises(UserError, match="not UTF-8"):
        load_templates()


def test_a_name_in_two_roots_is_an_error_unless_the_files_are_equal(project, monkeypatch):
    text = "name: mine\nextends: llama3\ndefault_system: x\n"
    project("templates/mine.yaml", text)
    project("other/templates/mine.yaml", text)
    monkeypatch.setenv("LF_REGISTRY_PATH", "other")
    assert "mine" in load_templates()
    project("other/templates/mine.yaml", text + "description: other\n")
    with pytest.raises(UserError, match="already defined in"):
        load_templates()


def test_extra_roots(project, monkeypatch):
    project("one/templates/first.yaml", "name: first\nextends: llama3\ndefault_system: x\n")
    project("two/second.yaml", "name: second\nextends: first\ndefault_system: y\n")
    project("templates/third.yaml", "name: third\nextends: qwen\ndefault_system_of: second\n")
    monkeypatch.setenv("LF_REGISTRY_PATH", "one:two")
    loaded = load_templates()
    assert {"first", "second", "third", "llama3-ironman"} <= set(loaded)
    assert (loaded["second"].builtin, loaded["second"].default_system) == ("llama3", "y")
    assert (loaded["third"].builtin, loaded["third"].default_system) == ("qwen", "y")
    monkeypatch.setenv("LF_REGISTRY_PATH", "one:nowhere")
    with pytest.raises(UserError, match="LF_REGISTRY_PATH: 'nowhere' is not a folder"):
        load_templates()


def test_an_unknown_name_says_which_one_was_meant():
    with pytest.raises(UserError, match="did you mean 'llama3-ironman'"):
        get_template("lama3_ironman")
    with pytest.raises(UserError, match="is a template of LLaMA-Factory itself"):
        get_template("llama3")


def test_what_is_read_from_llamafactorys_source_is_what_it_registers():
    """Fails loudly when LLaMA-Factory registers templates in another way."""
    from llamafactory.data.template import TEMPLATES

    from lf_registry.hooks.registry_template import _cannot_extend
    from lf_registry.templates import builtin_templates

    stock = {
        name: template for name, template in TEMPLATES.items() if name not in load_templates(builtin_template_names())
    }
    assert set(stock) == builtin_template_names()
    really = {name for name, template in stock.items() if not _cannot_extend(template)}
    read = {name for name, why in builtin_templates().items() if why is None}
    assert read == really
    assert len(really) >= 40
