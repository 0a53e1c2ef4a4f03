"""``lf-registry stats``: every figure against one counted by hand, and the verb on the shipped datasets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lf_registry.cli import app
from lf_registry.dataset_info import known_datasets
from lf_registry.errors import UserError
from lf_registry.stats.measure import measure, occurrences, sentences, special_characters, spread
from lf_registry.stats.rows import Row

CONTEXT = "올해 수출은 3.5% 늘었다. 지난해에는 2.1% 늘었고(잠정치), 수입은 3.5% 줄었다."
ROWS = [
    Row(1, "올해 수출은 얼마나 늘었나?", CONTEXT, "3.5%"),
    Row(2, "지난해 수출은 얼마나 늘었나?", CONTEXT, "2.1%"),
    Row(3, "내년 수출은 얼마나 늘까?", CONTEXT, ""),
    Row(4, "수출 증가율은?", CONTEXT + " 끝.", "약 3.5%"),
]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("  ", 0),
        ("마침표 없는 문장", 1),
        ("3.5% 늘었다. 2024.3.1에 발표했다.", 2),
        ("정말? 그래! 좋아…", 3),
        ('그는 "간다." 하고 갔다.', 2),
        ("1. 첫째다.\n2. 둘째다.", 2),
        ("끝났다. 그리고 남은 말", 2),
        ("뭐라고?! 진짜!!", 2),
    ],
)
def test_sentences(text: str, count: int):
    assert sentences(text) == count


def test_special_characters_are_punctuation_and_symbols():
    assert special_characters("3.5%(약) 「가」 $5 A_b 😀") == {
        ".": 1, "%": 1, "(": 1, ")": 1, "「": 1, "」": 1, "$": 1, "_": 1, "😀": 1,
    }  # fmt: skip


def test_occurrences_overlap():
    assert occurrences("가가", "가가가 가가") == [0, 1, 4]
    assert occurrences("", "가") == []


def test_the_percentile_is_the_nearest_rank():
    assert spread(range(1, 101)).p95 == 95
    assert spread([7]).p95 == 7
    assert spread([1, 2]).median == 1.5


def test_every_figure_of_four_rows():
    stats = measure("수출", ROWS, count_tokens=len)
    assert (stats.rows, stats.contexts) == (4, 2)
    answer = stats.lengths["answer"]
    assert (answer["words"].least, answer["words"].most, answer["characters"].most) == (0, 2, 6)
    assert answer["tokens"] == answer["characters"]
    assert stats.lengths["context"]["sentences"].most == 3
    assert stats.special["answer"] == {".": (3, 3), "%": (3, 3)}
    assert stats.occurrences == {0: 1, 1: 1, 2: 1}
    assert stats.unanswerable == [3]
    assert stats.not_in_context == [4]
    assert sum(stats.positions) == 2
    assert stats.positions[CONTEXT.index("3.5%") * 10 // len(CONTEXT)] == 1
    assert stats.positions[CONTEXT.index("2.1%") * 10 // len(CONTEXT)] == 1


def test_without_a_context_nothing_is_searched():
    stats = measure("잡담", [Row(1, "안녕?", None, "")])
    assert (stats.contexts, stats.occurrences, stats.unanswerable) == (0, {}, [])


@pytest.fixture
def qa(tmp_path: Path) -> Path:
    rows = [{"q": row.question, "c": row.context, "a": row.answer} for row in ROWS]
    (tmp_path / "qa.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    entry = {"file_name": "qa.json", "columns": {"prompt": "q", "query": "c", "response": "a"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"qa": entry}), encoding="utf-8")
    return tmp_path


def test_the_verb_prints_tables_and_writes_plots(qa: Path):
    result = CliRunner().invoke(app, ["stats", "qa", "--root", str(qa), "--plots", str(qa / "plots")])
    assert result.exit_code == 0, result.output
    assert "4 rows, 2 different contexts" in result.output
    assert "unanswerable (a context and no answer): 1: row 3" in result.output
    assert "the answer does not stand in the context: 1: row 4" in result.output
    assert "percent sign" in result.output
    assert "--tokenizer" in result.output
    names = ["qa_lengths.svg", "qa_positions.svg", "qa_special.svg"]
    assert sorted(path.name for path in (qa / "plots").iterdir()) == names
    assert ">%<" in (qa / "plots/qa_special.svg").read_text(encoding="utf-8")


def test_json_holds_the_same_figures(qa: Path):
    result = CliRunner().invoke(app, ["stats", "qa", "--root", str(qa), "--json"])
    found = json.loads(result.stdout)
    assert found["special"]["answer"]["%"] == {"count": 3, "rows": 3}
    assert found["occurrences"] == {"0": 1, "1": 1, "2": 1}
    assert found["lengths"]["answer"]["words"]["most"] == 2


def test_tokens_are_the_tokenizers(qa: Path, tmp_path: Path, bundled_texts: list[str]):
    from lf_registry.tiny.model import build_tokenizer

    tokenizer = build_tokenizer(bundled_texts)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    result = CliRunner().invoke(
        app, ["stats", "qa", "--root", str(qa), "--json", "--tokenizer", str(tmp_path / "tokenizer")]
    )
    longest = max(len(tokenizer(row.question, add_special_tokens=False)["input_ids"]) for row in ROWS)
    assert json.loads(result.stdout)["lengths"]["question"]["tokens"]["most"] == longest


@pytest.mark.parametrize("name", sorted(known_datasets()))
def test_every_shipped_dataset_can_be_measured(name: str):
    result = CliRunner().invoke(app, ["stats", name, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"] > 0


def test_a_typo_gets_a_suggestion():
    result = CliRunner().invoke(app, ["stats", "ironmann"])
    assert isinstance(result.exception, UserError)
    assert "ironman" in str(result.exception)


def test_an_unknown_tokenizer_is_named(qa: Path):
    result = CliRunner().invoke(app, ["stats", "qa", "--root", str(qa), "--tokenizer", str(qa / "none")])
    assert isinstance(result.exception, UserError)
    assert "--tokenizer" in str(result.exception)
