"""The check's figures against what LLaMA-Factory's own ``get_dataset`` makes of the same recipe."""

from __future__ import annotations

import contextlib
import io
import json

import pytest

from lf_registry.check.data import check_data
from lf_registry.check.report import Report

QUESTIONS = [
    ("지하철은?", "방금 떠났어.", "몰라."),
    ("버스는 언제 온대?", "오 분 뒤에 와. 정류장 전광판에 그렇게 나와 있어.", "글쎄, 기다려 봐."),
    ("늦잠을 자서 회사에 지각하게 생겼는데 뭐라고 말해야 덜 혼날까?", "전화부터 해.", "거짓말해."),
    ("점심 뭐 먹지?", "비 오니까 칼국수 어때? 시장 골목 안쪽 집이 오늘 문을 열었을 거야.", "아무거나."),
]
ALPACA = {"columns": {"prompt": "q", "response": "a"}}
PAIRS = {"ranking": True, "columns": {"prompt": "q", "chosen": "a", "rejected": "b"}}
LIKED = {"columns": {"prompt": "q", "response": "a", "kto_tag": "good"}}
HISTORY = {"columns": {"prompt": "q", "response": "a", "history": "h"}}
CASES = {
    "sft": (ALPACA, {}),
    "cut": (ALPACA, {"cutoff_len": 40}),
    "history": (HISTORY, {}),
    "cut history": (HISTORY, {"cutoff_len": 60}),
    "mask_history": (HISTORY, {"mask_history": True, "cutoff_len": 60}),
    "train_on_prompt": (HISTORY, {"train_on_prompt": True, "cutoff_len": 60}),
    "max_samples": (ALPACA, {"max_samples": 2}),
    "one EOS for all": (HISTORY, {"template": "falcon", "cutoff_len": 60}),
    "a reasoning template": (ALPACA, {"template": "deepseekr1"}),
    "stock": (ALPACA, {"template": "llama3"}),
    "dpo": (PAIRS, {"stage": "dpo"}),
    "rm, cut": (PAIRS, {"stage": "rm", "cutoff_len": 40}),
    "kto": (LIKED, {"stage": "kto"}),
    "ppo": (ALPACA, {"stage": "ppo", "reward_model": "rewards"}),
    "pt, not packed": ({"columns": {"prompt": "a"}}, {"stage": "pt", "packing": False, "cutoff_len": 20}),
}


def trained_by_llamafactory(values: dict) -> tuple[int, int, int, int]:
    """(rows, tokens, tokens with a label, longest row)."""
    from llamafactory.data import get_dataset
    from llamafactory.hparams import parser

    from lf_registry.hooks.pipeline import IGNORE_INDEX, Arguments

    arguments = Arguments.parse(values)
    *_, finetuning, _ = parser._parse_train_args({**values, "output_dir": "unused"})
    tokenizer, processor = arguments.tokenizer()
    template = arguments.fix(tokenizer)
    stage = {"dpo": "rm"}.get(finetuning.stage, finetuning.stage)
    with contextlib.redirect_stdout(io.StringIO()):
        parts = (template, arguments.model, arguments.data, arguments.training)
        data = get_dataset(*parts, stage=stage, tokenizer=tokenizer, processor=processor)["train_dataset"]
    prefix = "" if "input_ids" in data.column_names else "chosen_"
    ids = data[f"{prefix}input_ids"]
    labels = data[f"{prefix}labels"] if f"{prefix}labels" in data.column_names else ids
    trained = sum(label != IGNORE_INDEX for row in labels for label in row)
    return len(data), sum(map(len, ids)), trained, max(map(len, ids))


@pytest.fixture(scope="module")
def model(bundled_texts, tmp_path_factory):
    from lf_registry.tiny.model import build_model

    folder = tmp_path_factory.mktemp("model")
    build_model(folder, bundled_texts, hidden=48, layers=1)
    return str(folder)


@pytest.mark.parametrize("name", CASES)
def test_the_figures_are_those_of_the_training(project, model, name):
    entry, recipe = CASES[name]
    rows = [
        {"q": q, "a": a, "b": b, "good": i % 2 == 0, "h": [["안녕?", "그래, 안녕. 오늘은 뭐가 궁금해?"]] * (i % 3)}
        for i, (q, a, b) in enumerate(QUESTIONS)
    ]
    project("data.json", json.dumps(rows, ensure_ascii=False))
    project("dataset_info.json", {"data": {"file_name": "data.json", **entry}})
    values = {
        "model_name_or_path": model,
        "stage": "sft",
        "dataset": "data",
        "dataset_dir": str(project.root),
        "template": "llama3-ironman",
        "overwrite_cache": True,
        **recipe,
    }
    report = Report("recipe.yaml", values)
    check_data(report)
    (dataset,) = report.datasets
    rows, tokens, trained, longest = trained_by_llamafactory(values)
    assert (dataset.kept, dataset.tokens, dataset.trained_tokens) == (rows, tokens, trained)
    assert dataset.tokens + dataset.lost_tokens >= tokens
    if dataset.cut_rows == 0:
        assert dataset.lengths.maximum == longest
    else:
        assert longest <= recipe["cutoff_len"] + 1 and dataset.lost_tokens > 0


@pytest.mark.parametrize("template", ["llama3-ironman", "falcon", "kanana_qa"])
@pytest.mark.parametrize("cutoff", [5, 17, 40, 90, 400])
@pytest.mark.parametrize("mask_history", [False, True])
def test_the_cuts_add_up_to_what_is_left(bundled_texts, template, cutoff, mask_history):
    """The one loop of LLaMA-Factory that the check repeats gives the length that LLaMA-Factory's own gives."""
    from lf_registry.hooks.encoder import Encoder
    from lf_registry.hooks.pipeline import Arguments
    from lf_registry.tiny.model import build_tokenizer

    tokenizer = build_tokenizer(bundled_texts[:50])
    arguments = Arguments.parse(
        {
            "model_name_or_path": "x",
            "stage": "sft",
            "template": template,
            "cutoff_len": cutoff,
            "mask_history": mask_history,
        }
    )
    encoder = Encoder(arguments, arguments.fix(tokenizer), tokenizer)
    turns = [
        message
        for q, a, _ in QUESTIONS
        for message in ({"role": "user", "content": q}, {"role": "assistant", "content": a})
    ]
    row = {"_prompt": turns[:-1], "_response": turns[-1:], "_system": "짧게.", "_tools": ""}
    made = encoder.encode(row | {"_images": None, "_videos": None, "_audios": None})
    own_end = 1 if encoder.template.efficient_eos else 0
    assert len(made["input_ids"]) == sum(map(sum, encoder.cuts())) + own_end
