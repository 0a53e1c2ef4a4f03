"""KorQuAD 1.0 and other SQuAD files become rows that the template inha_qa trains on."""

from __future__ import annotations

import json

import pytest

from lf_registry.convert import convert
from lf_registry.convert_report import report_lines
from lf_registry.dataset_info import read_dataset_info
from lf_registry.errors import UserError

PASSAGE = "한빛시는 3월 2일부터 버스 요금을 1,500원으로 올린다.\n인상 폭은 7.1%(100원)이다."


def squad(*questions, context=PASSAGE, **more):
    return {"version": "KorQuAD_v1.0", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": questions}]}]}


def asked(question, *answers, name="7-0-0"):
    found = [{"text": text, "answer_start": PASSAGE.find(text)} for text in answers]
    return {"id": name, "question": question, "answers": found}


@pytest.fixture
def run(project):
    def converted(value, **options):
        source = project("korquad.json", value)
        report = convert(source, "korquad", root=project.root, **options)
        return report, json.loads((project.root / "datasets" / "korquad.json").read_text(encoding="utf-8"))

    converted.root = project.root
    return converted


@pytest.mark.parametrize("format", [None, "squad"])
def test_a_korquad_file(run, format):
    questions = [asked(" 인상 폭은\n몇 %인가? ", "7.1%(100원)"), asked("언제부터 오르나?", "3월 2일", "3월 2일부터")]
    report, rows = run(squad(*questions), format=format)
    assert rows == [
        {"question": "인상 폭은 몇 %인가?", "context": PASSAGE, "answer": "7.1%(100원)"},
        {"question": "언제부터 오르나?", "context": PASSAGE, "answer": "3월 2일"},
    ]
    assert (report.format, report.kept) == ("squad", 2)
    assert read_dataset_info(run.root)["korquad"] == {
        "file_name": "datasets/korquad.json",
        "columns": {"prompt": "question", "query": "context", "response": "answer"},
    }


BAD = {
    "unanswerable": (asked("누가?"), "example 1: (id 7-0-0) it has no answer"),
    "not in the passage": (
        asked("얼마?", "1,600원"),
        "example 1: (id 7-0-0) the answer '1,600원' does not stand in its context",
    ),
    "no question": ({"id": "a", "answers": []}, "(id a) its question or its context is missing"),
    "empty question": (asked("  ", "3월 2일"), "example 1: the question is empty"),
    "not an object": ("질문", "example 1: is not an object but str"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_question_is_named_and_nothing_is_written(case, run):
    question, message = BAD[case]
    with pytest.raises(UserError) as caught:
        run(squad(question), format="squad")
    assert message in str(caught.value) and "--skip-bad" in str(caught.value)
    assert not (run.root / "datasets").exists()


def test_bad_questions_are_left_out_only_when_asked(run):
    report, rows = run(squad(asked("누가?"), asked("언제?", "3월 2일")), skip_bad=True)
    assert len(rows) == 1
    text = "\n".join(report_lines(report, "korquad"))
    assert "  example 1: (id 7-0-0) it has no answer" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "not a SQuAD file"),
        ('{"data": [{"paragraphs": 3}]}', "'paragraphs' is missing"),
        ('{"data": [{"paragraphs": [{"context": "x"}]}]}', "'qas' is missing"),
        ('{"data": ', "line 1, column 10: not valid JSON"),
    ],
)
def test_a_file_that_is_not_squad(project, text, message):
    source = project("x.json", text)
    with pytest.raises(UserError, match=message):
        convert(source, "x", root=project.root, format="squad")


def test_a_flat_file_of_questions_and_contexts(run):
    row = {"question": "언제?", "context": PASSAGE, "answer": "3월 2일"}
    report, rows = run([row | {"title": "요금"}])
    assert rows == [row] and report.unused == ["title"]
    with pytest.raises(UserError, match="example 1: the context is empty"):
        run([row | {"context": " "}], overwrite=True)


def test_the_template_sees_question_and_passage_apart(run, llama3):
    from llamafactory.data.converter import AlpacaDatasetConverter
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.data.template import TEMPLATES
    from llamafactory.hparams import DataArguments

    _, rows = run(squad(asked("인상 폭은?", "7.1%(100원)")))
    (attribute,) = get_dataset_list(["korquad"], str(run.root))
    row = AlpacaDatasetConverter(attribute, DataArguments())(rows[0])
    prompt, answer = TEMPLATES["inha_qa"].encode_oneturn(llama3, row["_prompt"] + row["_response"])
    assert llama3.decode(prompt) == f"<|begin_of_text|>### 질문: 인상 폭은?\n\n### 맥락: {PASSAGE}\n\n### 답변:"
    assert llama3.decode(answer) == " 7.1%(100원)<|end_of_text|>"
