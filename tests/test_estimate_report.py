"""What `lf-registry estimate` says: about a saved check, a volume, GPUs by other names, rows that cannot be counted."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lf_registry.errors import UserError, WrongUsage
from lf_registry.estimate.configs import load_shape
from lf_registry.estimate.disk import parse_size
from lf_registry.estimate.gpu_names import parse_gpus
from lf_registry.estimate.gpus import load_gpus
from lf_registry.estimate.memory import GIB
from lf_registry.estimate.report import result_lines
from lf_registry.estimate.run import all_rows, read_subject, result_of, row_of
from lf_registry.estimate.tokens import tokens_of
from lf_registry.recipes import read_recipe

GPUS = load_gpus()
RECIPE = "recipes/kanana_qa_full.yaml"
ROWS = [
    {"name": "kanana_qa", "split": "train", "kept": 220, "tokens": 33_000},
    {"name": "kanana_qa_eval", "split": "eval", "kept": 30, "tokens": 3000},
]


def run(*arguments: str):
    from lf_registry.cli import app

    return CliRunner().invoke(app, ["estimate", *arguments])


@pytest.fixture
def check(tmp_path):
    def write(name="check.json", **changes) -> Path:
        path = tmp_path / name
        values = read_recipe(RECIPE).values
        path.write_text(json.dumps({"errors": 0, "datasets": ROWS, "values": values} | changes), encoding="utf-8")
        return path

    return write


def test_a_check_of_this_recipe_has_no_notes(check):
    assert tokens_of(read_recipe(RECIPE), check=check()).notes == []
    spelled_out = read_recipe(RECIPE).values | {"packing": False, "val_size": 0.0}
    assert tokens_of(read_recipe(RECIPE), check=check(values=spelled_out)).notes == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model_name_or_path", "Qwen/Qwen2.5-7B", "with model_name_or_path Qwen/Qwen2.5-7B"),
        ("template", "qwen", "with template qwen"),
        ("val_size", 0.1, "with val_size 0.1, the recipe's is not set"),
        ("max_samples", 9, "with max_samples 9, the recipe's is not set"),
        ("packing", True, "with packing true, the recipe's is false"),
    ],
)
def test_a_check_of_other_settings_is_noted(check, key, value, said):
    file = check(values=read_recipe(RECIPE).values | {key: value})
    (note,) = tokens_of(read_recipe(RECIPE), check=file).notes
    assert said in note
    assert str(file) in note


def test_a_check_with_errors_is_noted(check):
    (note,) = tokens_of(read_recipe(RECIPE), check=check(errors=2)).notes
    assert "the check found 2 errors, so rows may be dropped" in note


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"datasets": [], "not_checked": ["the data: left out by --no-data"]},
            "was made with --no-data, so it counts nothing: check it again without",
        ),
        ({"datasets": [row | {"tokens": None} for row in ROWS]}, "2 problems"),
        ({"datasets": []}, "dataset: has no kanana_qa"),
    ],
)
def test_a_check_that_counts_nothing_says_why(check, changes, said):
    with pytest.raises(UserError) as caught:
        tokens_of(read_recipe(RECIPE), check=check("my.json", **changes))
    assert said in str(caught.value)
    assert caught.value.hint.startswith(f"lf-registry check {RECIPE} --json > ")
    assert caught.value.hint.endswith("my.json")


def test_no_data_is_said_by_the_real_check(tmp_path):
    from lf_registry.cli import app

    file = tmp_path / "check.json"
    file.write_text(CliRunner().invoke(app, ["check", RECIPE, "--no-data", "--json"]).stdout, encoding="utf-8")
    with pytest.raises(UserError, match="was made with --no-data"):
        tokens_of(read_recipe(RECIPE), check=file)


def test_the_next_command_overwrites_no_file_that_is_not_json(tmp_path):
    with pytest.raises(UserError, match="there is no such file") as caught:
        tokens_of(read_recipe(RECIPE), check=tmp_path / "none.json")
    assert caught.value.hint.endswith("none.json")
    for name in (RECIPE, tmp_path / "gone"):
        with pytest.raises(UserError) as caught:
            tokens_of(read_recipe(RECIPE), check=Path(name))
        assert caught.value.hint == f"lf-registry check {RECIPE} --json > check.json"


def test_without_a_network_the_hub_is_not_retried(python, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "from lf_registry.estimate.configs import load_shape\nfrom lf_registry.errors import UserError\n"
        "try:\n    load_shape('me/unknown')\nexcept UserError as error:\n    print(error)"
    )
    nothing = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_HUB_OFFLINE"), "")
    there = {"PYTHONPATH": "plugins", "HF_HOME": str(tmp_path), "HF_ENDPOINT": f"http://127.0.0.1:{port}"}
    done = python(code, **nothing, **there)
    assert "the Hub cannot be reached" in done.stdout, done.stderr
    assert "hf download me/unknown config.json" in done.stdout
    assert done.stderr == ""  # huggingface_hub logs each retry


def test_a_known_model_asks_no_network(monkeypatch):
    monkeypatch.setattr(sys.modules["lf_registry.estimate.configs"], "stay_offline_without_network", None)
    assert load_shape("Qwen/Qwen2.5-7B").layers == 28


def tight_price(tmp_path, need: float) -> Path:
    """Two GPUs: a cheap one that the recipe nearly fills, and a dearer one with room."""
    prices = tmp_path / "prices.yaml"
    one = "tflops: 100, bandwidth: 1000"
    prices.write_text(
        f"gpus:\n  Close: {{memory_gib: {need * 1.02}, {one}, dollars: 0.01}}\n"
        f"  Roomy: {{memory_gib: {need * 3}, {one}, dollars: 0.02}}\n"
    )
    return prices


def test_tight_is_said_in_the_table_and_not_recommended(tmp_path):
    subject = read_subject(read_recipe("recipes/ironman_qlora.yaml"))
    known = load_gpus(tight_price(tmp_path, row_of(subject, 1, GPUS["L4"]).memory.total / GIB))
    assert row_of(subject, 1, known["Close"]).tight
    assert not row_of(subject, 1, known["Roomy"]).tight
    table = run("recipes/ironman_qlora.yaml", "--prices", str(tmp_path / "prices.yaml")).output
    (line,) = [line for line in table.splitlines() if line.startswith("1xClose ")]
    assert line.rstrip().endswith("fits, tight")
    (line,) = [line for line in table.splitlines() if line.startswith("1xRoomy ")]
    assert line.rstrip().endswith(" fits")

    def elsewhere(gpus):
        result = result_of(subject, row_of(subject, 1, small), gpus)
        return next(line for line in result_lines(result, subject) if line.startswith("unchanged"))

    small = known["RTX-A4000"].__class__(**vars(known["RTX-A4000"]) | {"memory_gib": 2.0})
    both = {name: known[name] for name in ("Close", "Roomy")}
    assert "on 1xRoomy, the cheapest an hour that is not tight" in elsewhere(both)
    assert "on 1xClose, tight everywhere" in elsewhere({"Close": known["Close"]})


def test_a_small_volume_gets_a_change_that_fits_it_or_its_size():
    typed = (RECIPE, "--gpus", "L4", "save_only_model=false", "save_total_limit=4")

    def disk(size, *more):
        return run(*typed, *more, "--disk", size).output.splitlines()

    def total(*more):
        return json.loads(run(*typed, *more, "--json").stdout)["estimate"]["disk"]["total"] / 1e9

    limited, weights, both = (
        "save_total_limit=1",
        "save_only_model=true",
        ("save_total_limit=1", "save_only_model=true"),
    )
    for more in ((limited,), (weights,), both):
        size = total(*more)
        lines = disk(f"{size + 0.01:.2f}GB")
        changed = {change.partition("=")[0] for change in more}
        kept = [change for change in typed[3:] if change.partition("=")[0] not in changed]
        assert f"  next: llamafactory-cli train {' '.join([RECIPE, *kept, *more])}" in lines
        assert run(*typed, *more, "--disk", f"{size + 0.01:.2f}GB").exit_code == 0
    assert lines[-1] == "  a checkpoint of save_only_model cannot be resumed"
    assert disk(f"{total(*both) - 0.1:.2f}GB")[-1] == f"  next: rent a volume of at least {int(total()) + 1} GB"
    for text in ("0", "0GB", "0.0 TB"):
        with pytest.raises(WrongUsage, match="above 0"):
            parse_size(text)


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        ("4090x2", "RTX-4090", 2),
        ("2x4090", "RTX-4090", 2),
        ("RTX-4090*2", "RTX-4090", 2),
        ("RTX4090x2", "RTX-4090", 2),
        ("rtx 4090 × 4", "RTX-4090", 4),
        ("NVIDIA GeForce RTX 4090", "RTX-4090", 1),
        ("2x NVIDIA GeForce RTX 3090", "RTX-3090", 2),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB", 1),
        ("NVIDIA A100-SXM4-40GB x 8", "A100-40GB", 8),
        ("NVIDIA A100 80GB PCIe", "A100-80GB", 1),
        ("NVIDIA H100 80GB HBM3", "H100-80GB-SXM", 1),
        ("NVIDIA H100 PCIe", "H100-80GB-PCIe", 1),
        ("Tesla T4", "T4", 1),
        ("Tesla V100-SXM2-16GB", "V100-16GB", 1),
        ("NVIDIA RTX A6000", "RTX-A6000", 1),
        ("NVIDIA_L40S", "L40S", 1),
    ],
)
def test_gpus_are_read_as_people_and_drivers_write_them(text, name, count):
    found = parse_gpus(text, GPUS)
    assert (found[1].name, found[0]) == (name, count)


@pytest.mark.parametrize("text", ["4090x0", "2xRTX-4090x2", "NVIDIA", "PCIe", "4090x5000", "x2"])
def test_what_names_no_gpu_is_refused(text):
    with pytest.raises(WrongUsage, match="--gpus"):
        parse_gpus(text, GPUS)


def test_more_than_one_machine_is_noted():
    typed = ("recipes/ironman_lora.yaml", "--json", "--gpus")
    notes = json.loads(run(*typed, "16xH100").stdout)["estimate"]["notes"]
    assert any("16 GPUs are several machines" in note for note in notes)
    notes = json.loads(run(*typed, "8xH100").stdout)["estimate"]["notes"]
    assert not any("several machines" in note for note in notes)


def test_rows_that_are_not_known_are_not_a_price_that_is_not_known(project):
    project("r.yaml", "model_name_or_path: Qwen/Qwen2.5-7B\ndo_train: true\ndataset: far\nbf16: true\n")
    output = " ".join(run("r.yaml", "--all").output.split())
    assert "the number of rows is not known, so there is no time and no price" in output
    assert "no price known" not in output
    rows = all_rows(read_subject(read_recipe("r.yaml")), GPUS)
    good = [(row.gpus, row.gpu.memory_gib) for row in rows if row.fits]
    assert good == sorted(good)


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("gpus", ["2xA100-80GB", "1xL4"])
def test_lines_wrap_at_words_and_commands_do_not(monkeypatch, columns, gpus):
    monkeypatch.setenv("COLUMNS", str(columns))
    typed = ("recipes/ironman_lora.yaml", "--gpus", gpus, "--disk", "1GB")
    lines = run(*typed).output.splitlines()
    assert max(len(line) for line in lines if "llamafactory-cli" not in line) <= columns
    monkeypatch.setenv("COLUMNS", "10000")
    text = " ".join(run(*typed).output.split())
    assert " ".join(" ".join(lines).split()) == text


def test_a_suggested_command_keeps_what_was_typed():
    """Copied, it has to be the run that was estimated."""
    output = run("recipes/ironman_lora.yaml", "run_name=두 단어", "cutoff_len=4096", "--gpus", "RTX-4090").output
    line = next(line for line in output.splitlines() if "llamafactory-cli train" in line)
    assert "recipes/ironman_lora.yaml 'run_name=두 단어' cutoff_len=4096 " in line


def test_measured_runs_that_are_not_there(tmp_path):
    from lf_registry.estimate.measured import compare

    with pytest.raises(UserError, match=r"runs\.json: there is no such file\n  next: python benchmarks/memory\.py"):
        compare(tmp_path / "runs.json")
