"""``lf-registry compare`` as it is typed."""

from __future__ import annotations

import json
from functools import partial

import pytest

from compare_models import HELD_OUT, KNOWN, lines
from lf_registry.compare import command
from lf_registry.compare.answer_log import answer_log
from lf_registry.compare.sanity import FLAGS
from lf_registry.compare.sentences import sanity_sentences
from lf_registry.publish.card.samples import read_summary


@pytest.fixture
def lf(lf):
    """Run ``lf-registry compare``."""
    return partial(lf, "compare")


def test_help(lf):
    code, out, _ = lf("--help")
    assert code == 0 and all(option in out for option in ("--tuned", "--held-out", "--metric", "--api", "--judge"))


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ([], ["--out FOLDER is missing"]),
        (["--out", "o"], ["--tuned is missing", "--data DATASET or --prompts FILE"]),
        (["--out", "o", "--tuned", "t", "--data", "a", "--prompts", "p"], ["do not go together"]),
        (["--out", "o", "--tuned", "t", "--data", "a,b", "--held-out", "b"], ["b: is in --data and in --held-out"]),
        (["--out", "o", "--tuned", "t", "--held-out", "b"], ["--held-out goes with --data"]),
        (["--out", "o", "--tuned", "t", "--prompts", "p", "--dtype", "bf16"], ["did you mean 'bfloat16'"]),
        (["--out", "o", "--tuned", "t", "--prompts", "p", "--max-samples", "0"], ["--max-samples: must be"]),
        (["--out", "o", "--tuned", "t", "--prompts", "p", "--api", "http://h"], ["--base is missing"]),
        (["--out", "o", "--tuned", "t", "--prompts", "p", "--api-tuned", "http://h"], ["--api-tuned goes with"]),
        (["--out", "o", "--tuned", "t", "--prompts", "p", "--judge", "http://h"], ["--judge-model NAME go together"]),
        (["--out", "o", "--temperature", "9", "--batch-size", "0"], ["--temperature: must", "--batch-size: must"]),
        (["--out", "o", "--top-p", "0.5"], ["has no effect without sampling"]),
        (["--out", "dataset_info.json"], ["is a file, no folder"]),
        (["--out", "o", "--tuned", "t", "--data", "train", "--metric", "exact"], ["did you mean 'exact_match'"]),
        (["--out", "o", "--metric", "exact", "--dtype", "bf16"], ["'exact_match'", "'bfloat16'", "--tuned is missing"]),
    ],
)
def test_wrong_usage(lf, compare_data, arguments, messages):
    code, out, err = lf(*arguments)
    assert (code, out) == (2, "") and all(message in err for message in messages)
    assert "Traceback" not in err and not (compare_data.root / "o").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "trian"], "did you mean 'train'"),
        (["--prompts", "missing.txt"], "missing.txt: there is no such file"),
        (["--prompts", "ask.txt", "--metric", "f1"], "no prompt has a reference answer"),
        (["--data", "train", "--metric", "mae"], "no reference has a number in it"),
        (["--recipe", "missing.yaml"], "there is no such recipe"),
    ],
)
def test_problems_are_found_before_a_model_is_loaded(lf, compare_data, arguments, message):
    compare_data("ask.txt", "안녕?")
    code, out, err = lf("--out", "o", "--tuned", "nothing/here", *arguments)
    assert (code, out) == (1, "") and message in err and "Traceback" not in err


def test_a_recipe_says_everything(lf, compare_data, compare_models):
    compare_data(
        "recipe.yaml",
        f"model_name_or_path: {compare_models.base}\noutput_dir: {compare_models.adapter}\ndataset: train\n"
        "eval_dataset: held\ndataset_dir: .\ntemplate: llama3\n",
    )
    common = ["--recipe", "recipe.yaml", "--out", "o", "--max-new-tokens", 24]
    code, out, err = lf(*common)
    assert code == 0 and err == ""
    assert "learned these answers by heart" in out and "next: open o/report.html" in out
    summary = json.loads((compare_data.root / "o" / "summary.json").read_text(encoding="utf-8"))
    assert summary["over_fitting"]["train"] == ["train"] and summary["sentences"][0] in out
    rows = lines(compare_data.root / "o" / "answers.jsonl")
    assert [(row["prompt"], row["before"], row["after"]) for row in rows[len(HELD_OUT) :]] == KNOWN

    # Without --held-out the same two say which one counts as what; f1 fell on the held-out ones.
    code, out, _ = lf(*common, "--data", "train,held", "--strict")
    assert code == 1 and "train stands first" in out and "--strict: f1 got worse" in out
    assert "note: only what" not in out
    code, _, err = lf(*common, "--max-samples", "3")
    assert code == 1 and "prompts was 16, is now 6" in err and "--overwrite" in err


def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    def interrupted(request):
        with answer_log(request.out, {}):
            raise KeyboardInterrupt

    monkeypatch.setattr(command, "compare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        command.run({"out": tmp_path / "o"})
    assert "generated.jsonl has the answers so far; the same command goes on" in capsys.readouterr().err


def test_a_card_says_how_many_sentences_it_leaves_out(tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps({"sentences": [f"{i}." for i in range(30)]}), encoding="utf-8")
    assert read_summary(tmp_path)[-2:] == ["23.", "And 6 more sentences, which are left out here."]


def test_never_stopping_names_the_limit():
    side = dict.fromkeys(FLAGS, 0) | {"never_stops": 2, "hangul_share": None}
    assert sanity_sentences({"before": side, "after": side}, 5, 24) == [
        "Answers that never stop within 24 tokens: 2 before, 2 after, of 5."
    ]
