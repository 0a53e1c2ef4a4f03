"""An adapter and a merged model, published with the real command, downloaded, loaded, and equal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lf_registry.errors import UserError
from publish_folders import BASE_ID, MODES, QUESTION, calls_to, content, hub_token, on_the_hub, sent_bytes

ADAPTER_FILES = {
    *("README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "tokenizer.json"),
    *("tokenizer_config.json", "trainer_state.json"),
}
#: Written for the Hub: the card; paths of this machine are replaced in the report.
MADE = {"README.md", "merge_report.json"}
DOWNLOAD = "from huggingface_hub import snapshot_download\nsnapshot_download('tester/m', local_dir=args[0])\n"


def answer(model, folder: Path) -> list[int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    return model.generate(**prompt, max_new_tokens=8, do_sample=False)[0].tolist()


def load(kind: str, folder: Path, base: Path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if kind == "merged":
        return AutoModelForCausalLM.from_pretrained(folder)
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)


@MODES
@pytest.mark.parametrize("kind", ["adapter", "merged"])
def test_what_is_published_is_what_others_load(
    hub, publish_command, published_base, training_output, merged_model, tmp_path, mode, kind
):
    folder = training_output if kind == "adapter" else merged_model
    first = publish_command(folder, "tester/m", "--tag", "v1", mode=mode, new=kind == "merged")
    repo, files = hub.repo("tester/m"), on_the_hub(hub)
    assert repo.private and repo.tags == {"v1": repo.branches["main"]}
    assert [commit.title for commit in repo.history()] == [
        f"Upload {'adapter' if kind == 'adapter' else 'model'} with lf-registry",
        "initial commit",
    ]
    assert set(files) == (ADAPTER_FILES if kind == "adapter" else {*content(folder), "README.md"})
    assert f"uploaded {len(files)} files" in first.stdout and "private" in first.stdout and "v1" in first.stdout
    assert not hub.leaks() and hub_token().encode() not in b"".join(files.values())

    hub.run(DOWNLOAD, tmp_path / "down", mode=mode).check_returncode()
    down = content(tmp_path / "down", *files)
    assert down == files
    assert {name for name in files if name not in MADE and down[name] != (folder / name).read_bytes()} == set()
    assert answer(load(kind, tmp_path / "down", published_base), tmp_path / "down") == answer(
        load(kind, folder, published_base), folder
    )

    sent, commits = sent_bytes(hub), len(repo.commits)
    again = publish_command(folder, "tester/m", "--tag", "v1", mode=mode)
    assert f"all {len(files)} files were there already" in again.stdout
    assert (sent_bytes(hub), len(repo.commits), repo.private) == (sent, commits, True)
    assert len(calls_to(hub, "POST", "/commit/")) == 1


def logits(base: Path, adapter: str | Path, **options) -> float:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter, **options)
    with torch.no_grad():
        return float(model(input_ids=torch.tensor([[5, 6, 7, 8]])).logits.double().abs().sum())


def test_checkpoints_are_revisions(hub, publish_here, published_base, training_output, no_cached_cards):
    said = publish_here(training_output, checkpoints=True)
    repo = hub.repo("tester/m")
    assert set(repo.branches) == {"main", "checkpoint-5", "checkpoint-10"}
    for name in ("checkpoint-5", "checkpoint-10"):
        assert f"revision='{name}'" in said
        assert set(on_the_hub(hub, revision=name)) == ADAPTER_FILES, "no file of the main branch, nothing secret"
        weights = (training_output / name / "adapter_model.safetensors").read_bytes()
        assert repo.read("adapter_model.safetensors", name) == weights
    folders = {"main": training_output} | {name: training_output / name for name in ("checkpoint-5", "checkpoint-10")}
    expected = {name: logits(published_base, folder) for name, folder in folders.items()}
    assert {name: logits(published_base, "tester/m", revision=name) for name in folders} == expected
    assert len(set(expected.values())) == 3

    commits = len(repo.commits)
    publish_here(training_output, checkpoints=True)
    assert len(repo.commits) == commits


def test_checkpoints_that_are_not_there(hub, publish_here, merged_model):
    with pytest.raises(UserError, match="no checkpoint-N folder"):
        publish_here(merged_model, checkpoints=True)
    assert hub.calls == []


def test_a_broken_checkpoint_is_found_before_anything_goes_up(hub, publish_here, adapter_copy):
    (adapter_copy / "checkpoint-10" / "adapter_config.json").write_text("{")
    with pytest.raises(UserError, match="checkpoint-10"):
        publish_here(adapter_copy, checkpoints=True)
    assert hub.calls == []


def test_a_dry_run_calls_nobody(hub, publish_command, training_output):
    done = publish_command(training_output, "tester/m", "--dry-run", "--checkpoints")
    assert hub.calls == []
    for name in ADAPTER_FILES:
        assert f"  {name} " in done.stdout
    size = (training_output / "adapter_model.safetensors").stat().st_size
    assert f"{size:,} bytes" in done.stdout
    assert "training_args.bin: the training's arguments" in done.stdout and ".env: " in done.stdout
    assert "as the branch checkpoint-5: 7 files" in done.stdout
    assert done.stdout.splitlines()[-1] == "nothing was uploaded (--dry-run)"


def test_a_dry_run_asks_for_the_licence_when_nothing_here_knows_it(hub, publish_command, adapter_copy, hub_api):
    config = adapter_copy / "adapter_config.json"
    config.write_text(config.read_text().replace(BASE_ID, "tester/own-base"))
    hub.state.create("tester/own-base", private=False, author="tester")
    hub_api().upload_file(
        repo_id="tester/own-base", path_in_repo="README.md", path_or_fileobj=b"---\nlicense: mit\n---\n"
    )
    done = publish_command(adapter_copy, "tester/m", "--dry-run", "--card-only")
    assert "license: mit" in done.stdout and "tester/m" not in hub.state.repos


def test_public_at_the_end_and_not_before(hub, publish_here, training_output):
    seen = []
    hub.faults.run(lambda call: seen.append(hub.repo("tester/m").private), path="/settings", method="PUT")
    hub.faults.run(lambda call: seen.append(hub.repo("tester/m").private), path="/tree/", method="GET", times=None)
    said = publish_here(training_output, public=True, tag="v1")
    assert not hub.repo("tester/m").private and seen and all(seen)
    assert calls_to(hub, "PUT", "/settings")[0].number == max(call.number for call in hub.calls)
    assert "made public" in said and "everyone" in said


def test_a_public_repository_is_asked_for(hub, publish_here, training_output):
    hub.state.create("tester/m", private=False, author="tester")
    for options in ({}, {"card_only": True}, {"revision": "try"}):
        with pytest.raises(UserError, match="is public") as caught:
            publish_here(training_output, **options)
        assert "--public" in caught.value.hint
    assert {call.method for call in hub.calls} == {"GET"}
    publish_here(training_output, public=True)
    assert set(on_the_hub(hub)) == ADAPTER_FILES


def test_a_branch(hub, publish_here, training_output):
    publish_here(training_output, revision="try/1")
    assert set(on_the_hub(hub, revision="try/1")) == ADAPTER_FILES and on_the_hub(hub) == {}
    publish_here(training_output, revision="try/1", tag="v0")
    assert hub.repo("tester/m").tags == {"v0": hub.repo("tester/m").branches["try/1"]}


def test_a_tag_does_not_move(hub, publish_here, adapter_copy):
    publish_here(adapter_copy, tag="v1")
    commit = hub.repo("tester/m").tags["v1"]
    (adapter_copy / "trainer_state.json").write_text('{"global_step": 9, "log_history": []}')
    with pytest.raises(UserError, match=r"the tag names an earlier commit.*trainer_state.json") as caught:
        publish_here(adapter_copy, tag="v1", public=True)
    repo = hub.repo("tester/m")
    assert "--tag" in caught.value.hint and repo.private and repo.branches["main"] == repo.tags["v1"] == commit
    publish_here(adapter_copy, tag="v2")
    assert repo.tags == {"v1": commit, "v2": repo.branches["main"]} and repo.tags["v2"] != commit


def test_the_card_alone(hub, publish_here, training_output, merged_model):
    publish_here(training_output)
    before = on_the_hub(hub)
    publish_here(training_output, card_only=True, license="mit", repo_id="tester/m")
    after = on_the_hub(hub)
    assert {name for name in after if after[name] != before[name]} == {"README.md"} and set(after) == set(before)
    assert b"license: mit" in after["README.md"]
    assert calls_to(hub, "POST", "/commit/")[-1].body.count(b'"key"') == 2


def test_a_card_that_somebody_edited_on_the_hub_is_kept(hub, hub_api, publish_here, adapter_copy):
    publish_here(adapter_copy)
    card = on_the_hub(hub)["README.md"].decode()
    edited = card.replace("# m\n", "# Tony\r\n\r\n직접 쓴 소개입니다.\r\n", 1)
    assert edited != card
    hub_api().upload_file(repo_id="tester/m", path_in_repo="README.md", path_or_fileobj=edited.encode())
    assert "were there already" in publish_here(adapter_copy)
    assert on_the_hub(hub)["README.md"].decode() == edited
    state = adapter_copy / "trainer_state.json"
    state.write_text(state.read_text().replace('"epoch": 3.0', '"epoch": 7.0'))
    publish_here(adapter_copy)
    assert "직접 쓴 소개입니다.\r\n" in on_the_hub(hub)["README.md"].decode()
    publish_here(adapter_copy, revision="next")
    assert "직접 쓴 소개입니다.\r\n" in hub.repo("tester/m").read("README.md", "next").decode()


def test_the_folders_own_card_keeps_its_line_endings(hub, publish_here, adapter_copy):
    own = "---\r\nlicense: apache-2.0\r\n---\r\n# 내 모델\r\n\r\n두 줄\r\n"
    (adapter_copy / "README.md").write_bytes(own.encode())
    publish_here(adapter_copy)
    card = on_the_hub(hub)["README.md"].decode()
    assert "# 내 모델\r\n\r\n두 줄\r\n" in card and "\n" not in card.replace("\r\n", "")


def test_what_an_earlier_upload_left_is_removed_and_what_people_added_stays(
    hub, hub_api, publish_here, training_output, merged_copy
):
    publish_here(training_output)
    api = hub_api()
    for name in ("picture.png", "LICENSE", "data/rows.jsonl", "model-00009-of-00009.safetensors", "training_args.bin"):
        api.upload_file(repo_id="tester/m", path_in_repo=name, path_or_fileobj=name.encode())
    said = publish_here(merged_copy)
    files = on_the_hub(hub)
    assert set(files) == {*content(merged_copy), "README.md", "picture.png", "LICENSE", "data/rows.jsonl"}
    for name in (
        *("adapter_config.json", "adapter_model.safetensors", "model-00009-of-00009.safetensors"),
        *("training_args.bin", "trainer_state.json"),
    ):
        assert name in said.split("removed from this revision")[1].splitlines()[0]


def test_the_namespace_may_be_left_out_and_an_organization_named(hub, publish_here, training_output):
    assert "to tester/short" in publish_here(training_output, "short")
    publish_here(training_output, "lab/m")
    assert set(hub.state.repos) == {"tester/short", "lab/m"}


def test_a_merged_model_that_was_changed_is_refused(hub, publish_here, merged_copy):
    shard = next(iter(sorted(merged_copy.glob("*.safetensors"))))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError, match="not those that the merge wrote"):
        publish_here(merged_copy)
    assert hub.calls == []


def test_a_config_that_was_changed_after_the_merge_is_compared_with_the_weights(hub, publish_here, merged_copy):
    config = merged_copy / "config.json"
    config.write_text(config.read_text().replace('"hidden_size": 48', '"hidden_size": 96'))
    with pytest.raises(UserError, match="another shape"):
        publish_here(merged_copy)
    assert hub.calls == []


def test_a_folder_that_is_a_link(hub, publish_here, training_output, tmp_path):
    (tmp_path / "link").symlink_to(training_output)
    publish_here(tmp_path / "link")
    assert set(on_the_hub(hub)) == ADAPTER_FILES
    shutil.rmtree(tmp_path, ignore_errors=True)
