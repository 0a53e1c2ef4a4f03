"""What a first user ran into: what is public too early, what a branch lacks, what changes between search and upload."""

from __future__ import annotations

import json

import pytest

from lf_registry.errors import UserError
from lf_registry.publish import prepare as preparing
from lf_registry.publish import run as running
from publish_folders import calls_to, hub_token, on_the_hub

OWN_CARD = "---\nlicense: apache-2.0\n---\n# 내 모델\n\n실행: docker run -v /workspace/models:/models x\n"


def test_a_card_alone_makes_nothing_public(hub, publish_here, adapter_copy):
    publish_here(adapter_copy)
    with pytest.raises(UserError, match="--card-only verifies the card alone"):
        publish_here(adapter_copy, card_only=True, public=True)
    assert hub.repo("tester/m").private and not calls_to(hub, "PUT", "/settings")
    publish_here(adapter_copy, public=True)
    assert "the file was there already" in publish_here(adapter_copy, card_only=True, public=True)


def test_the_branch_of_a_checkpoint_has_the_pictures_of_its_card(hub, publish_here, adapter_copy):
    state = json.loads((adapter_copy / "trainer_state.json").read_text())
    state["log_history"] = [{"step": step, "loss": 3 - step / 10} for step in range(1, 9)]
    (adapter_copy / "trainer_state.json").write_text(json.dumps(state))
    (adapter_copy / "training_loss.png").write_bytes(b"drawn anew")
    publish_here(adapter_copy, checkpoints=True)
    files = on_the_hub(hub, revision="checkpoint-5")
    assert "![Training loss](training_loss.png)" in files["README.md"].decode()
    assert files["training_loss.png"] == on_the_hub(hub)["training_loss.png"]


@pytest.mark.parametrize("name", ["trainer_state.json", "adapter_model.safetensors"])
def test_what_changes_after_the_search_is_not_sent(hub, publish_here, adapter_copy, monkeypatch, name):
    searched = preparing.make_card
    path = adapter_copy / name

    def write_meanwhile(*arguments, **options):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b" " if name.endswith(".json") else content)
        return searched(*arguments, **options)

    monkeypatch.setattr(preparing, "make_card", write_meanwhile)
    with pytest.raises(UserError, match=f"{name}: changed while this command ran"):
        publish_here(adapter_copy)
    assert not calls_to(hub, "POST", "/commit/") and not calls_to(hub, "POST", "/preupload/")


def test_an_allowed_place_goes_up(hub, publish_here, adapter_copy):
    (adapter_copy / "README.md").write_text(OWN_CARD, encoding="utf-8")
    with pytest.raises(UserError, match=r"--allow README\.md:6$"):
        publish_here(adapter_copy)
    assert not hub.calls
    said = publish_here(adapter_copy, allow=("README.md:6",))
    assert said.count("it goes up as it is (--allow README.md:6)") == 1
    assert "/workspace/models" in on_the_hub(hub)["README.md"].decode()


def test_a_secret_beside_an_allowed_place_stays_here(hub, publish_here, adapter_copy):
    (adapter_copy / "README.md").write_text(OWN_CARD + f"\n{hub_token()}\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 8, columns 1 to 37: a Hugging Face token"):
        publish_here(adapter_copy, allow=("README.md:6", "README.md:8"))
    assert not hub.calls


def test_a_card_on_the_hub_is_searched_too(hub, publish_here, adapter_copy):
    publish_here(adapter_copy)
    card = on_the_hub(hub)["README.md"].decode() + "\nls /workspace/models/x\n"
    (adapter_copy / "README.md").write_text(card, encoding="utf-8")
    line = f"README.md:{card.count(chr(10))}"
    publish_here(adapter_copy, allow=(line,))
    (adapter_copy / "README.md").unlink()
    with pytest.raises(
        UserError, match=rf"(?s)README\.md \(made from the recipe or the card\), line .*--allow {line}$"
    ):
        publish_here(adapter_copy)
    assert f"(--allow {line})" in publish_here(adapter_copy, allow=(line,))


def test_the_list_says_in_which_files_paths_were_replaced(publish_here, adapter_copy):
    path = adapter_copy / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"tokenizer_name_or_path": "/workspace/models/base"}, indent=2))
    said = publish_here(adapter_copy, dry_run=True, allow=("LICENSE:3",))
    lines = {line.split()[0]: line for line in said.splitlines() if line.startswith("  ")}
    assert lines["adapter_config.json"].endswith("bytes  (paths replaced)")
    assert lines["README.md"].endswith("(made here)")
    assert lines["tokenizer.json"].endswith("bytes")
    assert "note: --allow LICENSE:3: nothing was found there" in said


def test_a_find_in_a_file_whose_paths_were_replaced_names_that_file(publish_here, adapter_copy):
    path = adapter_copy / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"tokenizer_name_or_path": "/workspace/models/base", "note": hub_token()}))
    with pytest.raises(UserError) as caught:
        publish_here(adapter_copy)
    assert caught.value.problems[0].startswith(f"{path}, line 1, columns")


def test_the_first_line_comes_before_the_work(adapter_copy, monkeypatch):
    from lf_registry.publish.request import Request

    monkeypatch.setattr(running, "prepare", None)
    assert next(running.publish(Request(adapter_copy, "tester/m", dry_run=True))) == f"checking {adapter_copy}"
