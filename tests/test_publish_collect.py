"""What goes up, from a folder with everything in it that must not."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from folder_changes import INDEX, REMOTE, WEIGHTS, both, edit, text
from lf_registry.errors import UserError
from lf_registry.publish.clean import clean_json, clean_modelfile, clean_values
from lf_registry.publish.collect import collect
from lf_registry.publish.recipe_files import recipe_text
from lf_registry.publish.recognize import recognize
from lf_registry.publish.scan import scan
from lf_registry.recipes import Recipe, read_recipe

BASE = "Qwen/Qwen2-7B-Instruct"
LOG = [{"step": step, "loss": 7 - step / 10, "epoch": step / 5} for step in range(1, 9)] + [
    {"step": 8, "eval_loss": 6.3}
]
NEVER = {
    "training_args.bin": "a pickle",
    "optimizer.pt": "state of the training",
    "scheduler.pt": "state of the training",
    "rng_state_0.pth": "state of the training",
    "global_step5/zero_pp_rank_0_mp_rank_00_model_states.pt": "state of the training",
    "latest": "state of the training",
    "zero_to_fp32.py": "state of the training",
    ".env": "secrets",
    "prod.env": "secrets",
    ".netrc": "secrets",
    "id_rsa": "secrets",
    ".cache/huggingface/token": "a cache",
    "wandb/run-1/config.yaml": "a cache",
    "__pycache__/x.pyc": "a cache",
    "runs/Nov01/events.out.tfevents.1": "TensorBoard",
    "running_log.txt": "a log",
    "generated_predictions.jsonl": "examples of the data",
    "model.gguf": "GGUF",
    "pytorch_model.bin": "a pickle",
    "notes.txt": "not on the list",
    "llamaboard_config.yaml": "not on the list",
    "modeling_own.py": "not on the list",
    "config.json.bak": "not on the list",
    "additional_chat_templates/.env": "secrets",
    "additional_chat_templates/x.tiktoken": "not on the list",
    "other.safetensors": "not among the weights",
    "README.md": "the card was not given",
}


@pytest.fixture
def everything(copied):
    """A function that gives a training's folder with all files that any program leaves there."""

    def make(name: str) -> Path:
        folder = copied(name)
        for file in NEVER:
            text(file, "x = 1\n")(folder)
        for file in ("all_results.json", "train_results.json", "eval_results.json"):
            text(file, '{"train_loss": 6.5}')(folder)
        text("trainer_log.jsonl", '{"current_steps": 1, "loss": 6.9}\n')(folder)
        text("Modelfile", "FROM /workspace/out\nPARAMETER num_ctx 4096\n")(folder)
        text("LICENSE", "terms")(folder)
        text("additional_chat_templates/tool.jinja", "{{ messages }}")(folder)
        text("training_loss.png", b"\x89PNG with /workspace/out in its title")(folder)
        text("training_other.png", b"\x89PNG")(folder)
        state = {"log_history": LOG, "best_model_checkpoint": "/workspace/out/checkpoint-5", "best_metric": 6.3}
        text("trainer_state.json", json.dumps(state, indent=2))(folder)
        if name.startswith("adapter"):
            edit("adapter_config.json", base_model_name_or_path="/workspace/base")(folder)
        return folder

    return make


def uploaded(collection) -> dict[str, bytes]:
    found = {u.remote: u.content if u.content is not None else u.local.read_bytes() for u in collection.uploads}
    assert [(u.remote, u.size) for u in collection.uploads] == [(name, len(found[name])) for name in sorted(found)]
    return found


COMMON = {
    *("Modelfile", "LICENSE", "additional_chat_templates/tool.jinja", "all_results.json", "eval_results.json"),
    *("train_results.json", "trainer_log.jsonl", "trainer_state.json", "training_loss.png"),
}
TOKENIZER = {"chat_template.jinja", "tokenizer.json", "tokenizer_config.json"}


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("adapter", {"adapter_config.json", "adapter_model.safetensors"}),
        ("llama", {"config.json", "generation_config.json", WEIGHTS, *TOKENIZER}),
        ("sharded", {"config.json", "generation_config.json", INDEX, *TOKENIZER}),
    ],
)
def test_the_list_of_what_goes_up_is_exact(everything, name, own):
    folder = everything(name)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    collection = collect(recognize(folder), base_model=BASE)
    shards = {path.name for path in folder.glob("model-*-of-*")}
    assert set(uploaded(collection)) == COMMON | own | shards
    left = {out.path: out.why for out in collection.left_out}
    for file, why in NEVER.items():
        assert why in left[file if file in left else file.split("/")[0] + "/"], file
    assert "trainer_state.json, to draw it anew" in left["training_other.png"]
    assert all(out.size > 0 for out in collection.left_out)
    assert {path: path.read_bytes() for path in before} == before
    assert scan(collection.uploads) == []


def test_known_fields_are_cleaned_and_nothing_else_changes(everything):
    folder = everything("adapter")
    found = uploaded(collect(recognize(folder), base_model=BASE))
    config = (folder / "adapter_config.json").read_text("utf-8")
    assert found["adapter_config.json"].decode() == config.replace("/workspace/base", BASE)
    state = (folder / "trainer_state.json").read_text("utf-8")
    assert found["trainer_state.json"].decode() == state.replace("/workspace/out/checkpoint-5", "checkpoint-5")
    assert found["Modelfile"] == b"FROM .\nPARAMETER num_ctx 4096\n"


def test_the_plot_is_drawn_anew(everything):
    from PIL import Image

    folder = everything("llama")
    found = uploaded(collect(recognize(folder)))
    again = uploaded(collect(recognize(folder)))
    assert found["training_loss.png"] == again["training_loss.png"], "a second run uploads nothing new"
    with Image.open(io.BytesIO(found["training_loss.png"])) as image:
        assert image.size == (640, 400) and image.getcolors(1 << 20)[0]
    text("training_eval_loss.png", b"x")(folder)
    assert "training_eval_loss.png" in uploaded(collect(recognize(folder)))


def test_without_the_bases_id_an_adapter_is_refused_and_a_model_is_not(everything):
    folder = everything("adapter")
    with pytest.raises(UserError) as caught:
        collect(recognize(folder))
    assert "base_model_name_or_path: /workspace/base is a folder of this machine" in str(caught.value)
    assert "--recipe RECIPE" in str(caught.value)


def test_the_recipe_names_the_base(everything, project):
    folder = everything("adapter")
    recipe = read_recipe(project("r.yaml", f"model_name_or_path: {BASE}\n"))
    found = uploaded(collect(recognize(folder, recipe), recipe))
    assert json.loads(found["adapter_config.json"])["base_model_name_or_path"] == BASE
    assert found["recipe.yaml"].decode() == f"model_name_or_path: {BASE}\n"


def test_card_recipe_and_entries_take_the_place_of_files(everything, project):
    folder = everything("llama")
    both(text("recipe.yaml", "old"), text("dataset_info.json", "{}"))(folder)
    project("dataset_info.json", {"a": {"file_name": "/data/private/rows.json"}, "b": {"hf_hub_url": "x/y"}, "c": {}})
    recipe = read_recipe(
        project("r.yaml", f"model_name_or_path: {BASE}\ndataset: a,z\neval_dataset: b\ndataset_dir: .")
    )
    collection = collect(recognize(folder, recipe), recipe, "# 자비스\n")
    found = uploaded(collection)
    assert found["README.md"].decode() == "# 자비스\n"
    assert json.loads(found["dataset_info.json"]) == {"a": {"file_name": "rows.json"}, "b": {"hf_hub_url": "x/y"}}
    assert [note for note in collection.notes if note.startswith("dataset z:")]
    left = {out.path: out.why for out in collection.left_out}
    assert left["README.md"] == "the card goes up in its place"
    assert left["recipe.yaml"] == "the recipe goes up in its place"


def test_the_value_head_of_ppo_stays_here(everything):
    folder = everything("llama")
    text("value_head.safetensors", b"x")(folder)
    artifact = recognize(folder, Recipe(folder / "r.yaml", {"stage": "ppo"}))
    assert {out.path: out.why for out in collect(artifact).left_out}["value_head.safetensors"].startswith(
        "a value head"
    )


def test_own_code_goes_up_with_a_config_that_names_it(everything):
    folder = everything("llama")
    edit("config.json", auto_map=REMOTE)(folder)
    assert "modeling_own.py" in uploaded(collect(recognize(folder)))


def test_links_that_lead_outside_stay_here(everything, tmp_path):
    folder = everything("llama")
    (tmp_path / "secret.json").write_text("{}")
    for name in ("added_tokens.json", "all_results.json"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(tmp_path / "secret.json")
    (folder / "vocab.txt").symlink_to(folder / "nothing")
    (folder / "merges.txt").symlink_to("chat_template.jinja")
    os.mkfifo(folder / "vocab.json")
    collection = collect(recognize(folder))
    left = {out.path: out.why for out in collection.left_out}
    assert left["added_tokens.json"] == left["all_results.json"] == "a link to a file outside of the folder"
    assert left["vocab.txt"] == "a link to nothing"
    assert left["vocab.json"] == "not a plain file"
    assert "merges.txt" in uploaded(collection)
    (folder / WEIGHTS).rename(tmp_path / WEIGHTS)
    (folder / WEIGHTS).symlink_to(tmp_path / WEIGHTS)
    with pytest.raises(UserError, match="outside of the folder"):
        collect(recognize(folder))


def test_a_single_file_goes_up_without_the_index_of_older_shards(copied):
    folder = copied("sharded")
    (folder / WEIGHTS).write_bytes(next(folder.glob("model-*-of-*")).read_bytes())
    collection = collect(recognize(folder))
    assert {name for name in uploaded(collection) if "model" in name} == {WEIGHTS}
    assert {out.path for out in collection.left_out} >= {INDEX, "model-00001-of-00003.safetensors"}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        (
            "config.json",
            {"_name_or_path": "/workspace/m", "text_config": {"_name_or_path": "/a/b"}},
            {"_name_or_path": BASE},
        ),
        (
            "tokenizer_config.json",
            {"name_or_path": "/workspace/m", "special_tokens_map_file": "/workspace/.cache/x/s.json"},
            None,
        ),
        (
            "trainer_state.json",
            {"best_model_checkpoint": "C:\\out\\checkpoint-5", "log_history": [{"loss": 1.0}]},
            None,
        ),
        (
            "merge_report.json",
            {
                "base": "/workspace/베이스",
                "adapters": ["/workspace/a/아이언맨", "own/name"],
                "notes": ["removed /x/y/.z.merging-a, ok"],
            },
            {"base": BASE, "adapters": ["아이언맨", "own/name"], "notes": ["removed .z.merging-a, ok"]},
        ),
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("indent", [None, 1, 4])
def test_only_values_change_in_the_text(name, before, after, ascii_only, indent):
    written = json.dumps(before, ensure_ascii=ascii_only, indent=indent)
    cleaned, problems = clean_json(name, written, BASE)
    assert problems == []
    value = json.loads(cleaned)
    assert after is None or {key: value[key] for key in after} == after
    assert not any(part in cleaned for part in ("/root", "/a/b", "out", "/x/y"))
    assert len(cleaned.splitlines()) == len(written.splitlines())
    assert clean_json(name, cleaned, BASE) == (cleaned, [])


def test_nan_in_a_state_changes_nothing():
    written = '{"log_history": [{"loss": NaN}],   "best_model_checkpoint": null}'
    assert clean_json("trainer_state.json", written, None) == (written, [])


@pytest.mark.parametrize(
    ("line", "cleaned"),
    [
        ("FROM .", "FROM ."),
        ("FROM llama3:8b", "FROM llama3:8b"),
        ("FROM /model", "FROM ."),
        ('ADAPTER "/workspace/a b"', "ADAPTER ."),
        ("SYSTEM FROM /workspace/x", "SYSTEM FROM /workspace/x"),
    ],
)
def test_modelfile(line, cleaned):
    assert clean_modelfile(f"# x\n{line}\nPARAMETER stop a\n") == f"# x\n{cleaned}\nPARAMETER stop a\n"


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("/workspace/out/x/", "x"),
        ("~/models/x", "x"),
        ("outputs/x", "outputs/x"),
        ("/no_think", "/no_think"),
        (["/a/b", "c/d"], ["b", "c/d"]),
        ("/a/b,/c/d", "b,d"),
        ("file:///a/b", "b"),
        ({"x": "D:\\m\\n"}, {"x": "n"}),
        (1e-4, 1e-4),
        ("첫째, 둘째", "첫째, 둘째"),
    ],
)
def test_values(value, cleaned):
    assert clean_values(value) == cleaned


TEXT = """# A recipe.
model_name_or_path: /workspace/base  # the base
output_dir: "/workspace/out"
learning_rate: 1.0e-4
# 열 번
num_train_epochs: 10
"""


def test_a_recipe_keeps_its_comments(project):
    path = project("r.yaml", TEXT)
    recipe = read_recipe(path, ["learning_rate=2e-4", "seed=7", "run_name=자비스"])
    text = recipe_text(recipe, BASE, with_datasets=False)
    assert text == (
        f"# A recipe.\nmodel_name_or_path: {BASE}  # the base\noutput_dir: out\nlearning_rate: 0.0002\n# 열 번\n"
        "num_train_epochs: 10\n\n### given on the command line\nseed: 7\nrun_name: 자비스\n"
    )
    project("again.yaml", text)
    assert read_recipe(path.with_name("again.yaml")).values == recipe.values | {
        "model_name_or_path": BASE,
        "output_dir": "out",
    }


def test_a_recipe_that_cannot_be_patched_is_written_anew(project):
    path = project("r.yaml", TEXT + "deepspeed:\n  zero_optimization: {stage: 3, path: /workspace/x}\n")
    text = recipe_text(read_recipe(path), None, with_datasets=False)
    project("again.yaml", text)
    values = read_recipe(path.with_name("again.yaml")).values
    assert values["deepspeed"] == {"zero_optimization": {"stage": 3, "path": "x"}}
    assert values["model_name_or_path"] == "base"
    assert "its comments are lost" in text


@pytest.mark.parametrize("path", sorted(Path("recipes").glob("*.yaml")), ids=str)
def test_shipped_recipes_go_up_as_they_are(path):
    recipe = read_recipe(path)
    assert recipe_text(recipe, None, with_datasets=True) == path.read_text("utf-8")
    assert isinstance(recipe, Recipe)
