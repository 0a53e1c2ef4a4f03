"""What people feed `lf-registry estimate`: datasets of all kinds, odd figures, broken files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from lf_registry.errors import UserError, WrongUsage
from lf_registry.estimate.configs import BUNDLED, load_shape
from lf_registry.estimate.gpu_names import parse_gpus
from lf_registry.estimate.gpus import load_gpus
from lf_registry.estimate.measured import compare
from lf_registry.estimate.read_shape import read_shape
from lf_registry.estimate.report import result_lines
from lf_registry.estimate.run import read_subject, result_of, row_of
from lf_registry.estimate.setup import read_setup
from lf_registry.estimate.suggest import effects, suggest
from lf_registry.estimate.tokens import tokens_of
from lf_registry.recipes import Recipe

CONFIG = json.loads((BUNDLED / "meta-llama--Llama-3.2-1B.json").read_text())
ROWS = [{"instruction": "무엇을 할까요? " * (index + 1), "output": "네, 알겠습니다."} for index in range(20)]
PAIRS = [{"instruction": "가" * 10, "chosen": "나" * 100, "rejected": "다" * 40} for _ in range(10)]
GPUS = load_gpus()


@pytest.fixture
def recipe(tmp_path):
    """Makes a recipe of values, in a folder with datasets of all kinds."""
    files = {
        "alpaca": ("a.json", json.dumps(ROWS, ensure_ascii=False)),
        "lines": ("l.jsonl", "\n".join(json.dumps(row | {"output": "a\u2028b"}, ensure_ascii=False) for row in ROWS)),
        "table": ("t.csv", "instruction,output\n" + "묻다,답하다\n" * 20),
        "plain": ("p.txt", "한 줄입니다.\n" * 20),
        "empty": ("e.json", "[]"),
        "broken": ("b.json", "[{"),
        "pairs": ("r.json", json.dumps(PAIRS)),
    }
    info = {}
    for name, (file, text) in files.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
        info[name] = {"file_name": file}
    info["pairs"] |= {"ranking": True, "columns": {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"}}
    info |= {"few": info["alpaca"] | {"num_samples": 5}, "many": info["alpaca"] | {"num_samples": 50}}
    info |= {"wrong": {"file_name": 3, "columns": ["a"], "num_samples": 0}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    base = {"model_name_or_path": "Qwen/Qwen2.5-7B", "do_train": True, "bf16": True, "dataset": "alpaca"}
    return lambda **values: Recipe(Path("r.yaml"), base | {"dataset_dir": str(tmp_path)} | values)


@pytest.mark.parametrize(
    ("dataset", "rows"),
    [("alpaca", 20), ("lines", 20), ("table", 20), ("plain", 20), ("few", 5), ("many", 50), ("alpaca, lines", 40)],
)
def test_rows_of_every_kind_of_file_are_counted(recipe, dataset, rows):
    found = tokens_of(recipe(dataset=dataset))
    assert len(found.lengths) == rows
    assert found.notes == []


def test_a_preference_pair_is_as_long_as_its_longer_answer(recipe):
    (length,) = set(tokens_of(recipe(dataset="pairs", stage="dpo")).lengths)
    assert length == round(0.95 * 110 + 12)


def test_datasets_that_cannot_be_counted_say_why(recipe):
    assert tokens_of(recipe(dataset="empty")).notes == ["the dataset has no rows, so there is no time and no cost"]
    with pytest.raises(UserError, match=r"b\.json: cannot be read"):
        tokens_of(recipe(dataset="broken"))
    with pytest.raises(UserError) as caught:
        tokens_of(recipe(dataset="wrong"))
    assert len(caught.value.problems) == 3


def test_held_out_rows_are_those_that_datasets_splits_off(recipe):
    from datasets import Dataset

    for size in (0.1, 0.33, 7):
        split = Dataset.from_dict({"a": list(range(20))}).train_test_split(test_size=size, seed=0)
        found = tokens_of(recipe(val_size=size))
        assert (len(found.lengths), len(found.eval_lengths)) == (len(split["train"]), len(split["test"]))
    with pytest.raises(UserError, match="holds out all of the 20 rows"):
        tokens_of(recipe(val_size=20))


def test_tokens_are_shared_out_exactly_or_refused(recipe):
    found = tokens_of(recipe(cutoff_len=64), tokens=20 * 60)
    assert sum(found.lengths) == pytest.approx(20 * 60, abs=10)
    assert max(found.lengths) <= 64
    for tokens in (0, 19, 20 * 64 + 1):
        with pytest.raises(WrongUsage, match="--tokens"):
            tokens_of(recipe(cutoff_len=64), tokens=tokens)


def test_a_check_is_used_as_the_recipe_uses_its_data(recipe, tmp_path):
    file = tmp_path / "check.json"

    def check(**changes):
        file.write_text(json.dumps({"datasets": [{"name": "alpaca", "kept": 100, "tokens": 5000} | changes]}))
        return file

    held = tokens_of(recipe(val_size=0.1), check=check())
    assert (len(held.lengths), len(held.eval_lengths)) == (90, 10)
    assert len(tokens_of(recipe(max_samples=30), check=check()).lengths) == 30
    with pytest.raises(UserError, match="has no alpaca, so it is not a check of this recipe"):
        tokens_of(recipe(), check=check(name="other"))
    for changes in ({"kept": -5}, {"tokens": -1}, {"tokens": float("nan")}, {"lengths": {"counts": [100]}}):
        with pytest.raises(UserError, match="is not what `lf-registry check --json` prints"):
            tokens_of(recipe(), check=check(**changes))
    with pytest.raises(UserError, match=r"^(?!.*is not what).*no tokenizer"):
        tokens_of(recipe(), check=check(tokens=None))


@pytest.mark.parametrize("key", ["num_train_epochs", "max_steps", "save_steps", "eval_steps", "val_size"])
@pytest.mark.parametrize("value", [-3, "many", float("nan"), float("inf"), True])
def test_figures_that_no_run_can_have_are_named(recipe, key, value):
    with pytest.raises(UserError, match=f"{key}: needs a number"):
        read_setup(recipe(**{key: value}))


def test_epochs_do_not_matter_when_steps_are_given(recipe):
    assert read_setup(recipe(num_train_epochs=0, max_steps=5))
    with pytest.raises(UserError, match="num_train_epochs"):
        read_setup(recipe(num_train_epochs=0))


@pytest.mark.parametrize("key", ["num_key_value_heads", "head_dim"])
@pytest.mark.parametrize("value", [0, -4, "x"])
def test_a_config_with_impossible_heads_is_refused(key, value):
    with pytest.raises(UserError, match=key):
        read_shape(CONFIG | {key: value}, "config.json")


def test_a_model_name_that_no_file_can_have_is_no_traceback(monkeypatch):
    for model in ("x" * 500, "~nobody-of-that-name/model"):
        with pytest.raises(UserError, match="model_name_or_path"):
            load_shape(model)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="model_name_or_path"):
        load_shape("Qwen/Qwen2.5-7B", revision=3)


@pytest.mark.parametrize("value", ["NaN", "1e400", "-1"])
def test_a_bucket_of_impossible_size_is_named(recipe, value):
    content = f'{{"zero_optimization": {{"stage": 3, "reduce_bucket_size": {value}}}}}'
    with pytest.raises(UserError, match="reduce_bucket_size: needs a number above 0"):
        read_setup(recipe(deepspeed=content))


@pytest.mark.parametrize(("key", "value"), [("dollars", ".nan"), ("dollars", ".inf"), ("memory_gib", ".inf")])
def test_prices_are_finite(tmp_path, key, value):
    file = tmp_path / "prices.yaml"
    file.write_text(f"gpus: {{L4: {{{key}: {value}}}}}\n")
    with pytest.raises(UserError, match=f"L4: {key}"):
        load_gpus(file)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", None),
        ("recipe", 3),
        ("gpus", 0),
        ("peak_allocated_bytes", float("nan")),
        ("peak_reserved_bytes", "x"),
    ],
)
def test_a_measured_run_that_says_nothing_is_refused(tmp_path, key, value):
    run = {"name": "x", "recipe": {"bf16": True}, "config": CONFIG, "gpus": 1, "peak_allocated_bytes": 1e10}
    file = tmp_path / "runs.json"
    file.write_text(json.dumps({"runs": [run | {key: value}]}))
    with pytest.raises(UserError, match="run 1"):
        compare(file)


LARGE = {"per_device_train_batch_size": 8, "cutoff_len": 4096}


@pytest.mark.parametrize(
    ("values", "never"),
    [
        ({"finetuning_type": "full", "optim": "adamw_8bit"}, "offload"),
        ({"finetuning_type": "full", "use_galore": True}, "deepspeed"),
        ({"pissa_init": True}, "deepspeed"),
        ({"pissa_init": True}, "quantization_bit"),
        ({"use_unsloth": True}, "deepspeed"),
        ({"resize_vocab": True}, "quantization_bit"),
    ],
)
@pytest.mark.parametrize("gpu", ["RTX-3090", "A100-40GB"])
def test_no_change_is_suggested_that_llamafactory_refuses(recipe, values, never, gpu):
    changed = recipe(**LARGE, **values)
    setup = read_setup(changed)
    found = suggest(load_shape(setup.model), changed, setup, 2, GPUS[gpu], None)
    assert found is None or never not in " ".join(found.overrides)


def test_a_suggestion_says_what_it_does_to_the_result():
    assert effects(("per_device_train_batch_size=1", "gradient_accumulation_steps=8")) == []
    assert "not learned" in effects(("cutoff_len=512",))[0]
    assert len(effects(("quantization_bit=4", "fp16=true"))) == 2


def test_one_checkpoint_is_not_plural(recipe):
    subject = read_subject(recipe(max_steps=5))
    lines = "\n".join(result_lines(result_of(subject, row_of(subject, 1, GPUS["H200"]), GPUS), subject))
    assert "1 checkpoint of " in lines


def test_the_table_keeps_its_figures_in_a_narrow_terminal(recipe, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from lf_registry.cli import app

    file = tmp_path / "r.yaml"
    file.write_text(yaml.safe_dump(recipe().values))
    monkeypatch.setenv("COLUMNS", "30")
    assert "…" not in CliRunner().invoke(app, ["estimate", str(file), "--all"]).output


def test_an_empty_option_is_not_no_option(recipe):
    assert parse_gpus("2×L4", GPUS)[0] == 2
    from lf_registry.estimate.command import estimate

    for options in ({"gpus": ""}, {"disk": " "}):
        with pytest.raises(WrongUsage):
            estimate(Path("recipes/ironman_lora.yaml"), **options)
