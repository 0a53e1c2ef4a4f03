from __future__ import annotations

import json
from pathlib import Path

import pytest

from lf_registry.convert import convert
from lf_registry.convert_options import ReadOptions, parse_columns
from lf_registry.convert_report import report_lines
from lf_registry.dataset_info import add_entry, read_dataset_info
from lf_registry.errors import UserError, WrongUsage

REAL_DATA = Path(__file__).parents[2] / "shared" / "data" / "korean_chatbot_qa.csv"


@pytest.fixture
def run(project):
    def convert_text(text, suffix=".txt", **values):
        source = project.root / f"source{suffix}"
        source.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        options = ReadOptions(**{key: values.pop(key) for key in ("markers", "delimiter", "columns") if key in values})
        report = convert(source, values.pop("name", "data"), root=project.root, options=options, **values)
        return report, json.loads((project.root / "datasets" / "data.json").read_text(encoding="utf-8"))

    convert_text.root = project.root
    return convert_text


TWO = [{"instruction": "첫 질문?", "output": "첫 답."}, {"instruction": "둘째 질문?", "output": "둘째\n답."}]


def test_markers(run):
    report, rows = run("<|question|>\n첫 질문?\n<|answer|>\n첫 답.\n<|question|>둘째 질문?<|answer|>둘째\n답.\n")
    assert rows == TWO and (report.format, report.kept, report.skipped) == ("marker", 2, [])


def test_other_markers(run):
    _, rows = run("### Q: 첫 질문?\n### A: 첫 답.", format="marker", markers=("### Q:", "### A:"))
    assert rows == TWO[:1]


def test_delimited_lines(run):
    _, rows = run("# 설명\n첫 질문? | 첫 답.\n\n둘 | 2\n")
    assert rows == [TWO[0], {"instruction": "둘", "output": "2"}]


def test_csv_with_columns(run):
    report, rows = run('Q,A,label\n첫 질문?,첫 답.,0\n둘째 질문?,"둘째\n답.",1\n', ".csv")
    assert rows == TWO and report.format == "csv"
    _, rows = run("a,b\n첫 질문?,첫 답.\n", ".csv", columns={"prompt": "a", "response": "b"}, overwrite=True)
    assert rows == TWO[:1]


def test_tsv_and_system(run):
    _, rows = run("question\tanswer\tsystem\n첫 질문?\t첫 답.\t짧게\n", ".tsv")
    assert rows == [{"system": "짧게", **TWO[0]}]
    assert read_dataset_info(run.root)["data"]["columns"]["system"] == "system"


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_json_and_jsonl(run, suffix):
    text = json.dumps(TWO) if suffix == ".json" else "\n".join(json.dumps(row) for row in TWO)
    assert run(text, suffix)[1] == TWO


def test_conversations(run):
    messages = [{"from": "human", "value": "안녕"}, {"from": "gpt", "value": "응"}]
    _, rows = run(json.dumps([{"conversations": messages}]), ".json")
    assert rows == [{"messages": [{"role": "user", "content": "안녕"}, {"role": "assistant", "content": "응"}]}]
    assert read_dataset_info(run.root)["data"]["formatting"] == "sharegpt"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
def test_encodings_are_recognized(run, encoding):
    report, rows = run("Q,A\r\n첫 질문?,첫 답.\r\n".encode(encoding), ".csv")
    assert rows == TWO[:1] and report.encoding == encoding


def test_an_encoding_that_is_not_text(run):
    with pytest.raises(UserError, match=r"source.csv, line 2: this is not utf-8 nor cp949 text \(byte 0xff"):
        run(b"Q,A\n\xff\xff,x\n", ".csv")
    with pytest.raises(UserError, match="knows no encoding 'cp94'"):
        run(b"Q,A\n", ".csv", encoding="cp94")


BAD = {
    "empty answer": ("질문 | \n", ".txt", "line 1: the answer is empty"),
    "empty question": (" | 답\n", ".txt", "line 1: the question is empty"),
    "no delimiter": ("질문 답\n", ".txt", "line 1: there is no delimiter ' | '"),
    "delimiter twice": ("a | b | c\n", ".txt", "line 1: the delimiter ' | ' stands more than once"),
    "marker in the answer": ("Q,A\nx,y <|answer|> z\n", ".csv", "line 2: the answer contains the marker <|answer|>"),
    "answer marker twice": ("<|question|>a<|answer|>b<|answer|>c", ".txt", "line 1: has 2 <|answer|> after"),
    "no answer marker": ("\n<|question|>a\n", ".txt", "line 2: has 0 <|answer|> after"),
    "text in front": ("hello\n<|question|>a<|answer|>b", ".txt", "line 1: text in front of the first <|question|>"),
    "a number": ('[{"question": "x", "answer": 3}]', ".json", "example 1: the answer is not text but int"),
    "null": ('{"question": "x", "answer": null}\n', ".jsonl", "line 1: the answer is not text but NoneType"),
    "not an object": ("[1]", ".json", "example 1: is not an object but int"),
    "broken line": ('{"question": "x"\n', ".jsonl", "line 1: not valid JSON"),
    "columns": ("Q,A\nx\n", ".csv", "line 2: has 1 columns, the header has 2"),
    "open quote": ('Q,A\nx,"y\n', ".csv", "line 2: not valid CSV"),
    "column twice": ("Q,Q,A\nx,y,z\n", ".csv", "the column 'Q' stands twice"),
    "half a character": ('[{"question": "x", "answer": "a \\ud83d"}]', ".json", "half of a character"),
    "deep nesting": ("[" * 100_000, ".json", "not usable JSON"),
    "role of another type": ('[{"messages": [{"role": ["user"], "content": "a"}]}]', ".json", "message 1 has no role"),
    "roles": ('[{"messages": [{"role": "user", "content": "a"}]}]', ".json", "example 1: the roles must alternate"),
    "role": ('[{"messages": [{"role": "bot", "content": "a"}]}]', ".json", "example 1: message 1 has no role"),
    "empty message": ('[{"messages": [{"role": "user", "content": " "}]}]', ".json", "example 1: message 1 is empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_example_is_named_by_line_and_nothing_is_written(case, run):
    text, suffix, message = BAD[case]
    with pytest.raises(UserError) as caught:
        run(text, suffix)
    assert message in str(caught.value)
    assert [path.name for path in run.root.iterdir()] == [f"source{suffix}"]


def test_bad_examples_are_left_out_only_when_asked(run):
    text = "좋은 질문 | 좋은 답\n나쁜 줄\n질문 | \n"
    with pytest.raises(UserError) as caught:
        run(text)
    assert len(caught.value.problems) == 2 and "--skip-bad" in str(caught.value)
    report, rows = run(text, skip_bad=True)
    assert len(rows) == 1
    assert report.skipped == [(2, "there is no delimiter ' | '"), (3, "the answer is empty")]
    assert "  line 3: the answer is empty" in report_lines(report, "data")


def test_all_bad_is_an_error_even_when_bad_ones_may_be_left_out(run):
    with pytest.raises(UserError, match="no usable example"):
        run("nothing here\n", skip_bad=True)


def test_columns_that_are_not_there(run):
    with pytest.raises(UserError, match="there is no column 'q'; did you mean 'Q'"):
        run("Q,A\nx,y\n", ".csv", columns={"prompt": "q", "response": "A"})
    with pytest.raises(UserError, match="cannot tell which columns"):
        run("eins,zwei\nx,y\n", ".csv")


def test_an_existing_dataset_is_kept_unless_overwritten(run):
    run("a | b\n")
    with pytest.raises(UserError, match="exists already"):
        run("c | d\n")
    assert run("c | d\n", overwrite=True)[1] == [{"instruction": "c", "output": "d"}]


def test_other_entries_keep_order_and_formatting(run):
    entries = (
        '"z": {"file_name": "z.json", "columns": {"prompt": "a"}},\n    "가": {\n        "file_name": "b.json"\n    }'
    )
    before = "{\n    " + entries + "\n}\n"
    (run.root / "dataset_info.json").write_text(before, encoding="utf-8")
    run("a | b\n")
    after = (run.root / "dataset_info.json").read_text(encoding="utf-8")
    assert after.startswith(before.rstrip().removesuffix("}").rstrip())
    assert list(json.loads(after)) == ["z", "가", "data"]
    assert '\n    "data": {\n        "file_name": "datasets/data.json"' in after


@pytest.mark.parametrize("before", ["{}", "{\n}\n", '{"a": {"file_name": "x"}}', '{\n\t"a": {"file_name": "x"}\n}'])
def test_entries_are_added_to_any_layout(project, before):
    project("dataset_info.json", before)
    add_entry(project.root, "new", {"file_name": "n.json"})
    assert list(read_dataset_info(project.root)) == [*json.loads(before), "new"]


def test_a_full_disk_leaves_everything_as_it_was(run, monkeypatch):
    run("a | b\n")
    before = {path: path.read_bytes() for path in run.root.rglob("*.json")}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        run("c | d\n", overwrite=True)
    assert {path: path.read_bytes() for path in run.root.rglob("*.json")} == before
    assert not list(run.root.rglob("*.part"))


def test_column_options():
    assert parse_columns("prompt=Q, response=A") == {"prompt": "Q", "response": "A"}
    for text, message in (
        ("prompt", "is not column=NAME"),
        ("promt=Q,response=A", "did you mean 'prompt'"),
        ("prompt=Q", "response missing"),
    ):
        with pytest.raises(WrongUsage, match=message):
            parse_columns(text)


def test_what_is_converted_trains(run):
    """LLaMA-Factory's own loader reads what we write."""
    from datasets import load_dataset
    from llamafactory.data.converter import align_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments
    from transformers import Seq2SeqTrainingArguments

    run("Q,A,label\n첫 질문?,첫 답.,0\n", ".csv")
    (attribute,) = get_dataset_list(["data"], str(run.root))
    data = load_dataset(
        "json", data_files=str(run.root / attribute.dataset_name), split="train", cache_dir=run.root / "cache"
    )
    arguments = Seq2SeqTrainingArguments(output_dir=str(run.root / "out"), use_cpu=True)
    row = align_dataset(data, attribute, DataArguments(), arguments)[0]
    assert row["_prompt"] == [{"content": "첫 질문?", "role": "user"}]
    assert row["_response"] == [{"content": "첫 답.", "role": "assistant"}]


@pytest.mark.skipif(not REAL_DATA.exists(), reason="the real data set is not at hand")
def test_a_real_korean_file(project):
    report = convert(REAL_DATA, "chatbot", root=project.root)
    assert (report.kept, report.skipped, report.encoding) == (6000, [], "utf-8")


def test_alpacas_input_goes_behind_the_instruction(run):
    row = {"instruction": "영어로 번역해", "input": "나는 밥을 먹는다", "output": "I eat rice", "id": 1}
    report, rows = run(json.dumps([row]), ".json")
    assert rows == [{"instruction": "영어로 번역해\n나는 밥을 먹는다", "output": "I eat rice"}]
    assert report.unused == ["id"] and "unused   columns: id" in report_lines(report, "data")


def test_the_system_text_beside_a_conversation_is_kept(run):
    messages = [{"from": "human", "value": "안녕"}, {"from": "gpt", "value": "여어"}]
    _, rows = run(json.dumps([{"system": "너는 해적이다", "conversations": messages}]), ".json")
    assert rows[0]["messages"][0] == {"role": "system", "content": "너는 해적이다"}


def test_broken_quotes_are_never_skipped_with_all_that_follows(run):
    with pytest.raises(UserError, match="line 3: not valid CSV"):
        run('Q,A\nq1,a1\n"q2" bad,a2\nq3,a3\n', ".csv", skip_bad=True)


def test_a_quote_is_an_ordinary_character_in_tsv(run):
    assert run('Q\tA\n"안녕"이 뭐야?\t인사\n', ".tsv")[1] == [{"instruction": '"안녕"이 뭐야?', "output": "인사"}]


def test_a_huge_cell(run):
    assert len(run(f"Q,A\nx,{'가' * 200_000}\n", ".csv")[1][0]["output"]) == 200_000


def test_a_question_may_begin_with_a_hash(run):
    assert run("#include는 뭐야? | 헤더\n# 설명\n")[1] == [{"instruction": "#include는 뭐야?", "output": "헤더"}]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("indent", ["  ", "    ", "\t"])
def test_indentation_and_line_ends_of_the_list_are_kept(project, newline, indent):
    before = newline.join(["{", f'{indent}"a": {{', f'{indent * 2}"file_name": "x"', f"{indent}}}", "}", ""])
    (project.root / "dataset_info.json").write_bytes(before.encode())
    add_entry(project.root, "new", {"file_name": "n.json"})
    after = (project.root / "dataset_info.json").read_bytes().decode()
    added = newline.join([f'{indent}"new": {{', f'{indent * 2}"file_name": "n.json"', f"{indent}}}", "}", ""])
    assert after == before.rstrip()[:-1].rstrip() + "," + newline + added


def test_a_byte_order_mark_that_llamafactory_cannot_read(project):
    project("dataset_info.json", "\ufeff{}")
    with pytest.raises(UserError, match="starts with a byte order mark"):
        read_dataset_info(project.root)


def test_markers_must_be_two_texts():
    for markers in (("", "<a>"), ("<a>", "<a>")):
        with pytest.raises(WrongUsage, match="needs two different texts"):
            ReadOptions(markers=markers)
