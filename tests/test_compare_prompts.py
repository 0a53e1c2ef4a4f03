"""What is asked: files and every format of datasets that LLaMA-Factory knows."""

from __future__ import annotations

import json

import pytest

from lf_registry.compare.datasets import dataset_folder, dataset_prompts
from lf_registry.compare.prompts import read_prompts
from lf_registry.errors import UserError


def asked(prompts):
    return [(prompt.row, prompt.question, prompt.reference) for prompt in prompts]


def test_a_text_file_has_a_prompt_a_line(project):
    path = project("ask.txt", "\ufeff안녕?\r\n\r\n  수도는?  \n")
    assert asked(read_prompts(path)) == [(1, "안녕?", None), (3, "수도는?", None)]
    assert asked(read_prompts(path, 1)) == [(1, "안녕?", None)]


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_objects(project, kind):
    items = [
        "그냥 질문",
        {"prompt": "수도는?", "reference": "서울"},
        {"instruction": "더해라", "input": "1 + 1", "output": 2, "system": "짧게"},
        {"messages": [{"role": "user", "content": "가"}, {"role": "assistant", "content": "나"}]},
        {"conversations": [{"from": "human", "value": "다"}], "system": "라"},
    ]
    dumped = [json.dumps(item, ensure_ascii=False) for item in items]
    path = project(f"ask.{kind}", f"[{','.join(dumped)}]" if kind == "json" else "\n".join(dumped))
    found = read_prompts(path)
    assert asked(found) == [
        (1, "그냥 질문", None),
        (2, "수도는?", "서울"),
        (3, "더해라\n1 + 1", "2"),
        (4, "가", "나"),
        (5, "다", None),
    ]
    assert [prompt.system for prompt in found] == ["", "", "짧게", "", "라"]


def test_a_conversation_keeps_its_turns(project):
    roles = ("system", "user", "assistant", "user", "assistant")
    messages = [{"role": role, "content": str(i)} for i, role in enumerate(roles)]
    (prompt,) = read_prompts(project("ask.json", [{"messages": messages}]))
    assert prompt.messages == tuple(messages[:-1]) and prompt.reference == "4" and prompt.system == "0"


def test_all_lines_that_are_no_prompts_are_named(project):
    wrong = ["{", "3", '{"text": "가"}', '{"prompt": " "}', '{"prompt": "가", "reference": [1]}', '{"messages": []}']
    wrong += [
        '{"messages": [{"role": "assistant", "content": "가"}]}',
        '{"messages": [{"role": "bos", "content": ""}]}',
        '{"prompt": "반쪽 \\ud83d"}',
        '{"prompt": "가", "reference": true}',
    ]
    with pytest.raises(UserError) as error:
        read_prompts(project("ask.jsonl", "\n".join(['{"prompt": "좋음"}', *wrong])))
    assert [problem.split(":")[0].split(", ")[1] for problem in error.value.problems] == [
        f"line {number}" for number in range(2, 12)
    ]
    assert "has no prompt (keys: text)" in str(error.value) and "the role 'bos'" in str(error.value)
    assert "has half a character" in str(error.value)


def test_a_blank_reference_is_none(project):
    path = project("ask.jsonl", '{"prompt": "가", "reference": " "}\n{"prompt": "나", "reference": 0}')
    assert asked(read_prompts(path)) == [(1, "가", None), (2, "나", "0")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "\n \n", "there is no prompt"),
        ("a.json", "{}", "must hold a JSON list"),
        ("a.json", "[1,", "line 1, column"),
        ("a.csv", "Q,A\n", "has to become a dataset"),
    ],
)
def test_files_that_cannot_be_used(project, name, content, message):
    with pytest.raises(UserError, match=message):
        read_prompts(project(name, content))


TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
MESSAGES = [{"role": "user", "content": "질문"}, {"role": "assistant", "content": "대답"}]
WEATHER = {"name": "weather", "description": "날씨", "parameters": {"type": "object", "properties": {}}}
DATASETS = {
    "alpaca": (
        {"columns": {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}},
        [{"instruction": "더해라", "input": "1 + 1", "output": "2", "system": "짧게"}],
        [(1, "더해라\n1 + 1", "2")],
    ),
    "sharegpt": (
        {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": TAGS},
        [{"messages": MESSAGES}, {"messages": [*MESSAGES, {"role": "user", "content": "또"}, MESSAGES[1]]}],
        [(1, "질문", "대답"), (2, "또", "대답")],
    ),
    "openai": (
        {"formatting": "openai", "columns": {"messages": "messages"}, "tags": TAGS},
        [{"messages": MESSAGES}],
        [(1, "질문", "대답")],
    ),
    "preference": (
        {"ranking": True, "columns": {"prompt": "q", "chosen": "good", "rejected": "bad"}},
        [{"q": "질문", "good": "좋은 답", "bad": "나쁜 답"}],
        [(1, "질문", "좋은 답")],
    ),
    "kto": (
        {"columns": {"prompt": "q", "response": "a", "kto_tag": "ok"}},
        [{"q": "가", "a": "좋음", "ok": True}, {"q": "나", "a": "나쁨", "ok": False}],
        [(1, "가", "좋음"), (2, "나", None)],
    ),
    "tools": (
        {
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "tools": "tools"},
        },
        [
            {
                "conversations": [
                    {"from": "human", "value": "날씨?"},
                    {"from": "function_call", "value": '{"name": "weather", "arguments": {}}'},
                    {"from": "observation", "value": "맑음"},
                    {"from": "gpt", "value": "맑아요."},
                ],
                "tools": json.dumps([WEATHER], ensure_ascii=False),
            }
        ],
        [(1, "맑음", "맑아요.")],
    ),
}


@pytest.mark.parametrize("name", DATASETS)
def test_every_format_of_datasets(project, name):
    entry, rows, expected = DATASETS[name]
    project("data.json", rows)
    project("dataset_info.json", {name: {"file_name": "data.json"} | entry})
    prompts, notes = dataset_prompts(name, dataset_folder([name], None))
    assert asked(prompts) == expected and notes == []
    if name == "tools":
        roles = [message["role"] for message in prompts[0].messages]
        assert roles == ["user", "assistant", "tool"] and prompts[0].tools[0]["function"]["name"] == "weather"
        assert prompts[0].messages[1]["tool_calls"][0]["function"]["name"] == "weather"
    if name == "alpaca":
        assert prompts[0].system == "짧게"


def test_rows_that_cannot_be_asked_are_named(project):
    entry = {"file_name": "data.json", **DATASETS["sharegpt"][0]}
    project("data.json", [{"messages": MESSAGES[1:]}, {"messages": MESSAGES}, {"messages": []}])
    project("dataset_info.json", {"mine": entry})
    prompts, notes = dataset_prompts("mine", ".")
    assert [prompt.row for prompt in prompts] == [2]
    assert notes == [notes[0]] and "2 rows are left out: row 1: its messages" in notes[0] and "row 3" in notes[0]
    assert asked(dataset_prompts("mine", ".", 2)[0]) == [(2, "질문", "대답")]
    with pytest.raises(UserError, match="no row can be asked"):
        dataset_prompts("mine", ".", 1)


def test_wrong_datasets(project):
    project("data.json", [{"q": "가"}])
    project("dataset_info.json", {"mine": {"file_name": "data.json"}})
    with pytest.raises(UserError, match="did you mean 'mine'"):
        dataset_folder(["mime"], ".")
    with pytest.raises(UserError, match="instruction"):
        dataset_prompts("mine", ".")


def test_datasets_are_found_in_every_data_root(project):
    assert dataset_folder(["ironman"], None) != str(project.root)
    with pytest.raises(UserError, match="did you mean 'ironman'"):
        dataset_folder(["ironmen"], None)
    project("data.json", [{"instruction": "가", "output": "나" * 60}])
    project("dataset_info.json", {"mine": {"file_name": "data.json"}})
    assert dataset_folder(["mine"], None) == str(project.root)
    with pytest.raises(UserError, match="in several folders"):
        dataset_folder(["mine", "ironman"], None)
