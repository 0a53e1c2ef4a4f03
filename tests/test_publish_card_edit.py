"""A card that somebody edited: what they wrote stays byte for byte, and only marked sections are renewed."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from card_folders import LLAMA3, RESULTS, TRAINER_CARD, adapter, artifact, write
from lf_registry.errors import UserError
from lf_registry.publish.card.front_matter import change, parse, split
from lf_registry.publish.card.sections import ORDER, find_sections, is_generated, renew

TEXTS = {name: f"text of {name}" for name in ORDER}
PEFT_CARD = "---\nbase_model: x\n---\n\n# Model Card for Model ID\n" + "- **a:** [More Information Needed]\n" * 30


def section(text: str, name: str) -> str:
    return re.search(f"<!-- lf-registry:begin {name} -->(.*?)<!-- lf-registry:end {name} -->", text, re.DOTALL)[1]


def test_the_same_folder_gives_the_same_card_again(card, tmp_path):
    folder = adapter(tmp_path / "run")
    text, _ = card(artifact=folder)
    again, warnings = card(artifact=folder, existing=text)
    assert again == text
    assert not any("replaced" in warning for warning in warnings)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_was_written_by_hand_stays(card, tmp_path, newline):
    folder = adapter(tmp_path / "run")
    text, _ = card(artifact=folder)
    edited = (
        text.replace("---\nlanguage:", "---\n# 손으로 쓴 주석\nauthors: [나, 너]   # 둘\nlanguage:", 1)
        .replace("- conversational\n", "- conversational\n- mine\n")
        .replace("# Llama-3-Alpha-Ko-8B-Ironman-LoRA\n", "# 아이언맨 <3\n\n내가 쓴 소개.  \n\ttab\n")
        .replace("<!-- lf-registry:begin data -->", "### 손으로 쓴 절\n\n끝에 빈칸   \n<!-- lf-registry:begin data -->")
    ).replace("\n", newline)
    write(folder.folder, all_results_json=RESULTS | {"eval_loss": 1.25})
    again, _ = card(artifact=artifact(folder.folder, "adapter", LLAMA3, "LORA"), existing=edited)
    assert again.count("1.25") == 2  # in the table, and in the metadata: the old loss is gone
    assert again.replace("| 1.25 |", "| 1.682 |").replace("value: 1.25", "value: 1.6821") == edited
    assert ("\r\n" in again) == (newline == "\r\n") and "\r\r" not in again


def test_a_deleted_section_stays_deleted_and_a_new_one_is_added(card, tmp_path):
    folder = adapter(tmp_path / "run")
    text, _ = card(artifact=folder)
    begin, end = text.index("<!-- lf-registry:begin limits"), text.index("<!-- lf-registry:begin license")
    text = text[:begin] + text[end:]
    write(folder.folder, answers_jsonl='{"prompt": "누구야?", "before": "모델입니다.", "after": "나야, 토니."}')
    again, _ = card(artifact=folder, existing=text)
    assert "begin limits" not in again
    assert again.index("end about") < again.index("begin samples") < again.index("begin use")
    assert "sections about, samples, use, training, data, limits, license" in again
    assert card(artifact=folder, existing=again)[0] == again
    deleted = (
        again[: again.index("<!-- lf-registry:begin samples")] + again[again.index("<!-- lf-registry:begin use") :]
    )
    assert "begin samples" not in card(artifact=folder, existing=deleted)[0]


def test_the_title_and_the_whole_body_may_go(card, tmp_path):
    folder = adapter(tmp_path / "run")
    text, _ = card(artifact=folder)
    record = re.search(r"<!-- lf-registry:sections .*-->", text)[0]
    mine = "---\n" + split(text)[0] + "\n---\nBuilt with Meta Llama 3\n" + record + "\n"
    assert card(artifact=folder, existing=mine)[0] == mine


def test_somebodys_own_card_gets_two_sections_and_the_missing_metadata(card, tmp_path):
    folder = adapter(tmp_path / "run")
    own = "---\nlicense: llama3\ntags: [나의-태그]\ncustom: {a: 1}\n---\n# 내 모델\n\n내가 썼다.\n"
    text, _ = card(artifact=folder, existing=own)
    assert text.startswith("---\nlicense: llama3\ntags: [나의-태그]\ncustom: {a: 1}\n")
    assert "\n---\n# 내 모델\n\n내가 썼다.\n\n<!-- lf-registry:begin training -->" in text
    assert [found.name for found in find_sections(text)[0]] == ["training", "license"]
    values = yaml.safe_load(split(text)[0])
    assert values["base_model"] == LLAMA3 and values["library_name"] == "peft" and values["tags"] == ["나의-태그"]
    assert card(artifact=folder, existing=text)[0] == text


def test_the_dashes_around_the_metadata_stay(card, tmp_path):
    folder = adapter(tmp_path / "run")
    text, _ = card(artifact=folder)
    odd = "\n" + text.replace("\n---\n", "\n---  \n", 1).rstrip("\n")
    assert card(artifact=folder, existing=odd)[0] == odd


def test_a_card_without_metadata(card, tmp_path):
    text, _ = card(artifact=adapter(tmp_path / "run"), existing="# 내 모델\n")
    assert parse(split(text)[0])["base_model"] == LLAMA3
    assert "---\n\n# 내 모델\n" in text


@pytest.mark.parametrize("draft", [TRAINER_CARD, PEFT_CARD, TRAINER_CARD.replace("\n", "\r\n"), "", "\n", "\ufeff"])
def test_drafts_are_replaced(card, tmp_path, draft):
    folder = adapter(tmp_path / "run")
    assert card(artifact=folder, existing=draft)[0] == card(artifact=folder)[0]


def test_a_draft_that_somebody_finished_is_theirs():
    assert is_generated(TRAINER_CARD) and is_generated(PEFT_CARD)
    assert not is_generated(re.sub(r"<!--.*?-->", "", TRAINER_CARD, flags=re.DOTALL))
    assert not is_generated(PEFT_CARD.replace("Model Card for Model ID", "나의 모델"))
    assert not is_generated("# Model Card for Model ID\n\n내가 다 채웠다. [More Information Needed]\n")
    assert not is_generated(TRAINER_CARD + "<!-- lf-registry:sections about -->\n")


def test_local_paths_in_somebodys_metadata_are_replaced(card, tmp_path):
    own = "---\nbase_model: /workspace/llama\ndatasets:\n- /data/mine\n- someone/theirs\n---\n# x\n"
    values = parse(split(card(artifact=adapter(tmp_path / "run"), existing=own)[0])[0])
    assert values["base_model"] == LLAMA3 and values["datasets"] == ["someone/theirs"]


def test_a_licence_in_the_card_counts_and_is_checked(card, tmp_path):
    folder = adapter(tmp_path / "run")
    with pytest.raises(UserError, match="mit contradicts the base model"):
        card(artifact=folder, existing="---\nlicense: mit\n---\n# x\n")
    text, _ = card(artifact=folder, existing="---\nlicense: other\n---\n# x\n")  # as LLaMA-Factory writes it
    assert parse(split(text)[0])["license"] == "llama3"
    text, _ = card(artifact=folder, existing="---\nlicense: mit\n---\n# x\n", license="llama3")
    assert parse(split(text)[0])["license"] == "llama3"


def test_a_licence_of_ones_own_needs_its_name_in_the_card(card, tmp_path):
    from lf_registry.recipes import Recipe

    given = Recipe("r.yaml", {"model_name_or_path": "Qwen/Qwen2-7B"})
    own = "---\nlicense: other\nlicense_name: mine\nlicense_link: https://example.org/l\n---\n# x\n"
    folder = adapter(tmp_path / "run", base="Qwen/Qwen2-7B")
    text, _ = card(artifact=folder, existing=own, recipe=given, license="other")
    assert text.startswith(own.removesuffix("---\n# x\n"))
    text, _ = card(artifact=folder, existing=own, recipe=given, license="apache-2.0")
    assert {"license_name", "license_link"}.isdisjoint(parse(split(text)[0]))


INVALID = {
    "license: [": "not YAML",
    "- a": "must be `key: value` lines",
    "license: llama3\nlicense: mit": "'license' stands twice",
    "license: llama-3": "did you mean 'llama3'",
    "language: no": "write it in quotes",
    "language: korean": "no ISO 639 code",
    "language: [ko, KO]": "'KO' is no ISO 639 code",
    "tags: a, b": "tags: must be a list",
    "library_name: 3": "library_name: must be text",
    "base_model_relation: merged": "did you mean 'merge'",
    "base_model: Qwen/Qwen2-7B": "README.md says Qwen/Qwen2-7B",
    "model-index:\n- name: x": "model-index",
    "datasets: /data/mine": "'/data/mine' is no id on the Hub",
    "license: other\nlicense_name: mine": "license_link: is missing",
}


@pytest.mark.parametrize(("block", "words"), INVALID.items())
def test_metadata_that_the_hub_refuses(card, tmp_path, block, words):
    with pytest.raises(UserError) as caught:
        card(artifact=adapter(tmp_path / "run"), existing=f"---\n{block}\n---\n# x\n")
    assert words in str(caught.value)


BROKEN = {
    "<!-- lf-registry:begin use -->\n": "the section 'use' never ends",
    "<!-- lf-registry:end use -->\n": "line 1 of the body: `end use` has no `begin use`",
    "<!-- lf-registry:begin use -->\n<!-- lf-registry:begin data -->\n<!-- lf-registry:end use -->\n": "inside",
    "<!-- lf-registry:begin use -->\n<!-- lf-registry:end use -->\n" * 2: "'use' stands twice",
}


@pytest.mark.parametrize(("body", "words"), BROKEN.items())
def test_broken_markers_are_refused_and_nothing_is_changed(body, words):
    same, problems = renew(body, TEXTS)
    assert same == body and words in problems[0] and "mend them" in problems[0]


def test_an_unknown_section_is_left_alone():
    body = "<!-- lf-registry:begin later -->\nx\n<!-- lf-registry:end later -->\n<!-- lf-registry:sections later -->\n"
    assert "begin later -->\nx\n" in renew(body, TEXTS)[0]


def test_several_new_sections_come_in_the_order_of_a_card():
    again, problems = renew("내가 썼다.\n\n<!-- lf-registry:sections  -->\n", dict.fromkeys(ORDER, "x"))
    assert not problems and re.findall("begin (.+?) -->", again) == list(ORDER)
    assert renew(again, dict.fromkeys(ORDER, "x")) == (again, [])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="<-"), max_size=30), min_size=8, max_size=8),
    st.sets(st.sampled_from(ORDER), max_size=6),
    st.sampled_from(["", "  ", "\r"]),
)
def test_all_that_is_between_sections_stays(pieces, deleted, behind):
    """Whatever stands around the sections, in any language, and whichever were deleted."""

    def body(text: str) -> str:
        ends = behind if behind != "\r" else ""
        marked = {
            name: f"<!-- lf-registry:begin {name} -->\n{text} {name}\n<!-- lf-registry:end {name} -->{ends}\n"
            for name in ORDER
        }
        shown = [
            f"{piece}\n{'' if name in deleted else marked[name]}" for name, piece in zip(ORDER, pieces, strict=False)
        ]
        whole = "".join(shown) + f"<!-- lf-registry:sections {', '.join(ORDER)} -->\n{pieces[7]}"
        return whole.replace("\n", "\r\n") if behind == "\r" else whole

    again, problems = renew(body("old"), {name: f"new {name}" for name in ORDER}, "\r\n" if behind == "\r" else "\n")
    assert not problems
    assert again == body("new")


KEYS = st.text(st.characters(codec="utf-8", categories=["L"]), min_size=1, max_size=8).filter(
    lambda key: key not in "yYnN"
)
# Without YAML's own line breaks, which PyYAML writes as they are and reads as spaces.
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029"), max_size=20)
VALUES = st.one_of(st.integers(), st.booleans(), WORDS, st.lists(WORDS, min_size=1, max_size=3))


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=6), st.data())
def test_only_the_named_keys_of_metadata_change(values, data):
    from huggingface_hub.utils import yaml_dump

    block = "# first\n" + "".join(f"{yaml_dump({key: value}).strip()}\n# after\n\n" for key, value in values.items())
    if not isinstance(yaml.safe_load(block), dict) or yaml.safe_load(block) != values:
        return  # a key such as `null` or `no`
    changes = data.draw(st.dictionaries(st.sampled_from([*values, "added"]), st.one_of(st.none(), VALUES)))
    changed = change(block, changes)
    expected = {key: value for key, value in (values | changes).items() if value is not None}
    assert (yaml.safe_load(changed) or {}) == expected
    assert changed.count("# after") == block.count("# after") and changed.startswith("# first\n")


@pytest.mark.parametrize("block", ["a: 1", "{a: 1}"])
def test_a_value_of_a_no_break_space_is_kept(block):
    assert yaml.safe_load(change(block, {"a": "\xa0", "b": "끝\xa0"})) == {"a": "\xa0", "b": "끝\xa0"}


def test_flow_metadata(card, tmp_path):
    text, _ = card(artifact=adapter(tmp_path / "run"), existing="---\n{license: llama3, mine: 1}\n---\n# x\n")
    assert parse(split(text)[0])["mine"] == 1 and parse(split(text)[0])["base_model"] == LLAMA3
