"""`lf-registry estimate` as it is typed: suggestions, prices, tokens, cost, disk, errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from lf_registry.errors import UserError, WrongUsage
from lf_registry.estimate.command import estimate
from lf_registry.estimate.configs import BUNDLED, load_shape
from lf_registry.estimate.cost import expected_longest, flops_per_token
from lf_registry.estimate.disk import parse_size
from lf_registry.estimate.gpu_names import parse_gpus
from lf_registry.estimate.gpus import load_gpus
from lf_registry.estimate.memory import GIB, estimate_memory
from lf_registry.estimate.run import all_rows, read_subject, row_of
from lf_registry.estimate.setup import read_setup
from lf_registry.estimate.suggest import change, fits, suggest
from lf_registry.estimate.tokens import tokens_of
from lf_registry.recipes import Recipe, read_recipe

RECIPES = sorted(Path("recipes").glob("*.yaml")) or sorted((Path(__file__).parent.parent / "recipes").glob("*.yaml"))
NAMES = [path.name for path in RECIPES]
GPUS = load_gpus()


def run(*arguments: str):
    from lf_registry.cli import app

    return CliRunner().invoke(app, ["estimate", *arguments])


def as_data(*arguments: str):
    return json.loads(run(*arguments, "--json").stdout)


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_recipe_is_estimated_offline(name):
    result = run(f"recipes/{name}")
    assert result.exit_code == 0, result.output
    assert "fits" in result.output
    assert "prices as of" in result.output


def test_the_header_of_a_recipe_holds():
    """ironman_lora.yaml is sized for two A100; its adapter and its steps are in its header."""
    found = as_data("recipes/ironman_lora.yaml", "--gpus", "2xA100-80GB")["estimate"]
    assert found["fits"]
    assert found["trainable_parameters"] == 41_943_040
    assert found["cost"]["steps_per_epoch"] == 10
    assert found["cost"]["steps"] == 100


def test_what_does_not_fit_exits_with_1_and_says_what_to_type():
    result = run("recipes/ironman_lora.yaml", "--gpus", "1xRTX-4090", "cutoff_len=4096")
    assert result.exit_code == 1
    assert "DOES NOT FIT" in result.output
    assert (
        "llamafactory-cli train recipes/ironman_lora.yaml cutoff_len=4096 per_device_train_batch_size=" in result.output
    )


def test_the_estimate_imports_no_torch(python):
    code = (
        "import sys; from lf_registry.estimate.command import estimate\n"
        "estimate('recipes/ironman_lora.yaml', gpus='A40')\n"
        "print(sorted({'torch', 'llamafactory', 'transformers', 'peft'} & set(sys.modules)))"
    )
    done = python(code, PYTHONPATH="plugins")
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(NAMES),
    gpu=st.sampled_from(sorted(GPUS)),
    gpus=st.sampled_from([1, 2, 4]),
    batch=st.sampled_from([1, 3, 5, 8, 64]),
    cutoff=st.sampled_from([1024, 4096, 16384]),
    more=st.sampled_from(
        [(), ("disable_gradient_checkpointing=true",), ("finetuning_type=full", "quantization_bit=null")]
    ),
)
def test_a_suggestion_fits_when_it_is_typed(name, gpu, gpus, batch, cutoff, more):
    typed = (f"per_device_train_batch_size={batch}", f"cutoff_len={cutoff}", *more)
    recipe = read_recipe(f"recipes/{name}", typed)
    setup = read_setup(recipe)
    shape = load_shape(setup.model)
    card = GPUS[gpu]
    if fits(estimate_memory(shape, setup, gpus), setup, card):
        return
    found = suggest(shape, recipe, setup, gpus, card, None)
    if found is None:
        return
    again = read_recipe(f"recipes/{name}", (*typed, *found.overrides))
    assert again.values == change(recipe, found.overrides).values
    changed = read_setup(again)
    memory = estimate_memory(shape, changed, gpus)
    assert memory.total <= card.memory_gib * GIB
    assert card.bf16 or changed.precision == "fp16"
    assert memory.total == found.memory.total
    samples = setup.batch * setup.accumulation
    assert changed.batch * changed.accumulation == samples


def test_a_smaller_batch_is_tried_before_anything_else():
    recipe = read_recipe("recipes/ironman_lora.yaml", ["deepspeed=null", "per_device_train_batch_size=64"])
    setup = read_setup(recipe)
    found = suggest(load_shape(setup.model), recipe, setup, 1, GPUS["A100-80GB"], None)
    assert found.overrides[0].startswith("per_device_train_batch_size=")
    assert found.overrides == ("per_device_train_batch_size=16", "gradient_accumulation_steps=16")


def test_gpus_without_bf16_are_marked():
    subject = read_subject(read_recipe("recipes/kanana_ironman_lora.yaml"))
    assert row_of(subject, 1, GPUS["T4"]).why_not == "no bf16"
    rows = all_rows(subject, GPUS)
    assert len(rows) == 4 * len(GPUS)
    good = [row.dollars for row in rows if row.fits]
    assert good == sorted(good)
    table = run("recipes/kanana_ironman_lora.yaml", "--all").output
    assert "no bf16" in table
    assert "8xB200" in table


def test_a_users_prices_override_ours(tmp_path):
    own = tmp_path / "prices.yaml"
    own.write_text(
        "as_of: 2026-11-20\ngpus:\n  L4: {dollars: 99}\n"
        "  Mine: {memory_gib: 48, tflops: 500, bandwidth: 1000, dollars: 0.01}\n"
    )
    data = as_data("recipes/ironman_qlora.yaml", "--prices", str(own), "--gpus", "L4")["estimate"]["cost"]
    assert data["dollars"] == pytest.approx(99 * data["hours"])
    assert data["prices_as_of"] == "2026-11-20"
    assert as_data("recipes/ironman_qlora.yaml", "--prices", str(own))["estimate"]["gpus"].endswith("Mine")


def test_a_broken_prices_file_is_reported_whole(tmp_path):
    own = tmp_path / "prices.yaml"
    own.write_text("gpus:\n  L4: {dollars: cheap, memory: 24}\n  New: {tflops: -1}\n  T4: {dollars: -2}\n")
    with pytest.raises(UserError) as caught:
        load_gpus(own)
    for text in ("L4: dollars: needs", "L4: memory: unknown key", "New: tflops", "New: memory_gib", "T4: dollars"):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [("2xA100-80GB", "A100-80GB", 2), ("rtx4090", "RTX-4090", 1), ("8 x h100", "H100-80GB-SXM", 8), ("L4", "L4", 1)],
)
def test_gpu_names_are_read_as_people_write_them(text, name, count):
    found = parse_gpus(text, GPUS)
    assert (found[1].name, found[0]) == (name, count)


@pytest.mark.parametrize("text", ["2xA10O-80GB", "0xL4", "x", "", "3x"])
def test_an_unknown_gpu_is_wrong_usage(text):
    with pytest.raises(WrongUsage, match="--gpus"):
        parse_gpus(text, GPUS)
    assert parse_gpus("2xA100-80GB", GPUS)
    with pytest.raises(WrongUsage, match="did you mean 'A100-80GB'"):
        parse_gpus("2xA10O-80GB", GPUS)


def test_tokens_come_from_the_most_exact_source(tmp_path):
    recipe = read_recipe("recipes/kanana_qa_full.yaml")
    estimated = tokens_of(recipe)
    assert len(estimated.lengths) == 220
    assert len(estimated.eval_lengths) == 30
    assert not estimated.exact
    assert sum(tokens_of(recipe, tokens=44_000).lengths) == pytest.approx(44_000, rel=0.01)
    lengths = {"minimum": 10, "maximum": 300, "edges": [0, 100, 200, 400], "counts": [100, 50, 70]}
    report = tmp_path / "check.json"
    rows = [{"name": "kanana_qa", "split": "train", "rows": 230, "kept": 220, "tokens": 33_000, "lengths": lengths}]
    report.write_text(
        json.dumps({"datasets": [*rows, {"name": "kanana_qa_eval", "split": "eval", "kept": 30, "tokens": 3000}]})
    )
    exact = tokens_of(recipe, check=report)
    assert exact.exact
    assert exact.longest == 300
    assert sum(exact.lengths) == pytest.approx(33_000, rel=0.01)
    assert exact.eval_lengths == [100] * 30
    shorter = as_data("recipes/kanana_qa_full.yaml", "--gpus", "L4", "--check", str(report))["estimate"]
    assert shorter["longest_sequence"] == 300
    assert shorter["memory_bytes"] < as_data("recipes/kanana_qa_full.yaml", "--gpus", "L4")["estimate"]["memory_bytes"]


def test_the_estimate_of_tokens_is_near_the_real_tokenizer():
    import importlib.util

    import tiktoken
    from tiktoken.load import load_tiktoken_bpe

    from lf_registry.tiny.model import PATTERN

    # The original Llama 3 file, without the seconds that a Transformers tokenizer of it takes to build.
    folder = Path(importlib.util.find_spec("llama_models").submodule_search_locations[0])
    ranks = load_tiktoken_bpe(str(folder / "llama3" / "tokenizer.model"))
    llama3 = tiktoken.Encoding("llama3", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    for name in ("ironman_lora", "kanana_qa_full"):
        recipe = read_recipe(f"recipes/{name}.yaml")
        info = json.loads(Path("dataset_info.json").read_text())[recipe.values["dataset"]]
        rows = json.loads(Path(info["file_name"]).read_text())

        def texts(value):
            if isinstance(value, str):
                yield value
            elif isinstance(value, dict):
                yield from (text for key, part in value.items() if key != "role" for text in texts(part))
            elif isinstance(value, list):
                yield from (text for part in value for text in texts(part))

        from lf_registry.estimate.tokens import _estimated

        real = sum(len(llama3.encode_ordinary(text)) for text in texts(rows))
        assert sum(_estimated(text) for text in texts(rows)) == pytest.approx(real, rel=0.10)


def test_a_broken_check_file_and_two_sources_are_refused(tmp_path):
    broken = tmp_path / "check.json"
    broken.write_text('{"datasets": [{"name": "kanana_qa"}]}')
    with pytest.raises(UserError, match="is not what `lf-registry check --json` prints"):
        tokens_of(read_recipe("recipes/kanana_qa_full.yaml"), check=broken)
    assert run("recipes/kanana_qa_full.yaml", "--tokens", "5", "--check", str(broken)).exit_code != 0


def test_rows_that_cannot_be_counted_leave_the_cost_out(project):
    project("r.yaml", "model_name_or_path: Qwen/Qwen2.5-7B\ndo_train: true\ndataset: far\nbf16: true\n")
    data = as_data("r.yaml", "--gpus", "2xH100")
    assert data["estimate"]["cost"] is None
    assert data["dataset"]["notes"]


def test_flops_follow_the_methods():
    shape = load_shape("meta-llama/Llama-3.1-8B")

    def flops(**values):
        base = {"model_name_or_path": "m", "bf16": True, "disable_gradient_checkpointing": True}
        return flops_per_token(shape, read_setup(Recipe(Path("r.yaml"), base | values)), 1)[0]

    full = flops(finetuning_type="full")
    assert full == pytest.approx(6 * shape.matmul_parameters, rel=1e-3)
    assert flops(lora_rank=8) == pytest.approx(full * 2 / 3, rel=0.01)
    assert flops(finetuning_type="full", disable_gradient_checkpointing=False) == pytest.approx(full * 4 / 3, rel=0.03)


def test_steps_are_what_the_trainer_makes():
    def cost(*overrides, gpus="1xL4"):
        return as_data("recipes/ironman_qlora.yaml", "--gpus", gpus, *overrides)["estimate"]["cost"]

    assert cost()["steps_per_epoch"] == 10  # 297 rows, 149 batches of 2, 16 at a time
    assert cost("dataloader_drop_last=true", "gradient_accumulation_steps=1")["steps_per_epoch"] == 148
    assert cost("num_train_epochs=0.15")["steps"] == 2
    assert cost("max_steps=7")["steps"] == 7
    assert cost(gpus="4xL4")["steps_per_epoch"] == 3
    assert cost()["eval_hours"] > 0
    assert cost("eval_strategy='no'")["eval_hours"] == 0


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=50), st.integers(1, 16))
def test_the_longest_of_a_batch_lies_between_mean_and_maximum(lengths, batch):
    longest = expected_longest(lengths, batch)
    assert sum(lengths) / len(lengths) - 1e-6 <= longest <= max(lengths) + 1e-6


def test_disk_counts_checkpoints_and_compares_with_the_volume():
    disk = as_data("recipes/kanana_qa_full.yaml", "--gpus", "L4")["estimate"]["disk"]
    assert disk["checkpoint"] == 2 * 2_086_979_328
    assert disk["kept"] == 3  # save_total_limit 2, and one while it is written
    whole = as_data("recipes/kanana_qa_full.yaml", "--gpus", "L4", "save_only_model=false")["estimate"]["disk"]
    assert whole["checkpoint"] == 14 * 2_086_979_328
    assert run("recipes/kanana_qa_full.yaml", "--gpus", "L4", "--disk", "1TB").exit_code == 0
    assert run("recipes/kanana_qa_full.yaml", "--gpus", "L4", "--disk", "10GB").exit_code == 1
    assert parse_size("1.5 TB") == 1.5e12
    with pytest.raises(WrongUsage, match="--disk"):
        parse_size("much")


def test_all_wrong_values_are_reported_at_once(project):
    config = {"zero_optimization": {"stage": 5, "reduce_bucket_size": "big", "offload_param": {"device": "gpu"}}}
    project("ds.json", config)
    recipe = project("r.yaml", "do_train: true\ncutoff_len: long\nfinetuning_type: lore\nbf16: 1\ndeepspeed: ds.json\n")
    with pytest.raises(UserError) as caught:
        read_setup(read_recipe(recipe))
    error = str(caught.value)
    for key in ("model_name_or_path", "cutoff_len", "finetuning_type: 'lore'", "did you mean 'lora'", "bf16"):
        assert key in error
    for key in ("zero_optimization.stage", "reduce_bucket_size", "offload_param.device"):
        assert f"ds.json: {key}" in error or f"ds.json: zero_optimization.{key}" in error


@pytest.mark.parametrize(
    ("content", "said"), [("{", "line 1, column 2"), ("[]", "must hold an object"), (None, "does not exist")]
)
def test_a_broken_deepspeed_file_is_named(project, content, said):
    if content is not None:
        project("ds.json", content)
    recipe = project("r.yaml", "do_train: true\nmodel_name_or_path: Qwen/Qwen2.5-7B\ndeepspeed: ds.json\n")
    with pytest.raises(UserError, match=said):
        read_setup(read_recipe(recipe))


def test_modules_that_the_model_does_not_have_are_named():
    recipe = read_recipe("recipes/ironman_lora.yaml", ["lora_target=q_prj,up", "additional_target=embed"])
    with pytest.raises(UserError, match="did you mean 'q_proj'"):
        read_subject(recipe)


def test_a_recipe_that_does_not_train_is_refused():
    with pytest.raises(UserError, match="do_train is not true"):
        estimate(Path("recipes/merge/ironman.yaml"))


def test_options_that_do_not_go_together():
    for options in ({"gpus": "L4", "everything": True}, {"measured": Path("runs.json")}):
        with pytest.raises(WrongUsage):
            estimate(Path("recipes/ironman_lora.yaml"), **options)
    with pytest.raises(WrongUsage, match="which recipe"):
        estimate(None)


def test_measured_runs_decide_the_exit_code(tmp_path):
    config = json.loads((BUNDLED / "meta-llama--Llama-3.2-1B.json").read_text())
    recipe = {"bf16": True, "finetuning_type": "lora", "cutoff_len": 1024, "per_device_train_batch_size": 1}
    setup = read_setup(Recipe(Path("r"), recipe | {"model_name_or_path": "m"}))
    right = estimate_memory(load_shape("meta-llama/Llama-3.2-1B"), setup).allocated
    file = tmp_path / "runs.json"
    for factor, code in ((1.05, 0), (0.95, 0), (1.2, 1), (0.8, 1)):
        run_ = {"name": "x", "config": config, "recipe": recipe, "gpus": 1, "peak_allocated_bytes": right * factor}
        file.write_text(json.dumps({"runs": [run_]}))
        assert run("--measured", str(file)).exit_code == code
    file.write_text('{"runs": [{"name": "x"}]}')
    with pytest.raises(UserError, match="run 1"):
        estimate(None, measured=file)
