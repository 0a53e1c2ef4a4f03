"""A card shows the answers of the model that it describes, and no other's."""

from __future__ import annotations

import json
import shutil

import pytest

from card_folders import LLAMA3, adapter, merged, write
from lf_registry.compare.asking import Models
from lf_registry.compare.prompts import Prompt
from lf_registry.compare.request import Request
from lf_registry.fingerprint import identity_from, identity_of, weights_fingerprint
from lf_registry.publish.card.samples import read_comparison
from publish_folders import on_the_hub

ANSWER = {"prompt": "누구야?", "before": "저는 모델입니다.", "after": "나야, 토니."}


def trained(folder, content: bytes = b"trained"):
    """The output of a training, with weights; what is in them does not matter here."""
    made = adapter(folder)
    (folder / "adapter_model.safetensors").write_bytes(content)
    return made


def compared(folder, tuned, **changes):
    """Put a comparison of a tuned model's folder into a folder, as ``compare`` writes it."""
    models = {"base_model": LLAMA3, "tuned_model": identity_of(tuned).as_json()} | changes
    write(folder, answers_jsonl=ANSWER, summary_json={"sentences": ["f1 improved."]} | models)


def merge(folder, *adapters):
    """A folder as a merge of adapters leaves it."""
    made = merged(folder)
    (folder / "model.safetensors").write_bytes(b"merged")
    report = made.facts["merge_report"] | {
        "adapter_fingerprints": [weights_fingerprint(path) for path in adapters],
        "fingerprint": weights_fingerprint(folder),
    }
    write(folder, merge_report_json=report)
    return made


def shown(made, card, kind: str = "adapter") -> tuple[bool, str]:
    """Whether the card shows the comparison, and what is said of it."""
    text, warnings = card(kind, artifact=made)
    there = {"**Q** 누구야?" in text, "- f1 improved." in text, "## How it answers" in text}
    assert len(there) == 1, "all of it or nothing"
    return there == {True}, "\n".join(warning for warning in warnings if "answers.jsonl" in warning)


def test_the_answers_of_this_folder(card, tmp_path):
    folder = trained(tmp_path / "run")
    compared(folder.folder, folder.folder)
    assert shown(folder, card) == (True, "")


def test_the_answers_of_another_training(card, tmp_path):
    folder = trained(tmp_path / "run")
    trained(tmp_path / "other", b"others!")
    compared(folder.folder, tmp_path / "other")
    there, note = shown(folder, card)
    assert not there and "another model answered" in note and weights_fingerprint(folder.folder) in note
    run = tmp_path / "run"
    assert f"lf-registry compare --base {LLAMA3} --tuned {run} --data ironman --held-out ironman_eval --out" in note
    assert f"then cp outputs/compare/answers.jsonl outputs/compare/summary.json {run}" in note


def test_a_training_that_went_on_after_the_comparison(card, tmp_path):
    folder = trained(tmp_path / "run")
    compared(folder.folder, folder.folder)
    (folder.folder / "adapter_model.safetensors").write_bytes(b"longer!")
    assert not shown(folder, card)[0]
    write(folder.folder, adapter_config_json=folder.facts["adapter_config"] | {"lora_alpha": 64})
    (folder.folder / "adapter_model.safetensors").write_bytes(b"trained")
    assert not shown(folder, card)[0], "the same tensors with another scale answer otherwise"


def test_what_says_nothing_of_the_answers_may_change(card, tmp_path):
    folder = trained(tmp_path / "run")
    compared(folder.folder, folder.folder)
    there = folder.facts["adapter_config"] | {"base_model_name_or_path": "/workspace/models/llama"}
    write(folder.folder, adapter_config_json=there, generation_config_json={"temperature": 1})
    (folder.folder / "training_args.bin").write_bytes(b"x")
    assert shown(folder, card) == (True, "")


def test_another_chat_template(card, tmp_path):
    folder = trained(tmp_path / "run")
    compared(folder.folder, folder.folder)
    write(folder.folder, chat_template_jinja="{{ messages[0]['content'] }}")
    there, note = shown(folder, card)
    assert not there and "another chat template" in note
    (folder.folder / "chat_template.jinja").unlink()
    assert shown(folder, card)[0], "an adapter without one is asked with its base's"


def test_another_base_model(card, tmp_path):
    folder = trained(tmp_path / "run")
    compared(folder.folder, folder.folder, base_model="Qwen/Qwen2-7B-Instruct")
    there, note = shown(folder, card)
    assert not there and f"are those of Qwen/Qwen2-7B-Instruct, and the base model of this card is {LLAMA3}" in note
    compared(folder.folder, folder.folder, base_model=None)
    assert shown(folder, card)[0]


def test_an_adapter_and_the_model_merged_from_it_are_the_same(card, tmp_path):
    folder = trained(tmp_path / "run")
    model = merge(tmp_path / "merged", folder.folder)
    compared(model.folder, folder.folder)
    assert shown(model, card, "merged") == (True, "")
    compared(folder.folder, model.folder)
    assert shown(folder, card) == (True, "")


@pytest.mark.parametrize("what", ["another adapter", "two adapters", "changed since", "an older report"])
def test_a_merged_model_is_not_the_same_unless_its_report_says_so(card, tmp_path, what):
    folder = trained(tmp_path / "run").folder
    other = trained(tmp_path / "other", b"others!").folder
    model = merge(
        tmp_path / "merged", *{"another adapter": [other], "two adapters": [folder, other]}.get(what, [folder])
    )
    if what == "changed since":
        (model.folder / "model.safetensors").write_bytes(b"other!")
    if what == "an older report":
        write(model.folder, merge_report_json=model.facts["merge_report"])
    compared(model.folder, folder)
    there, note = shown(model, card, "merged")
    assert not there and "another model answered" in note


@pytest.mark.parametrize("models", [None, {}, {"tuned_model": None}, {"tuned_model": {"weights": 3}}])
def test_answers_of_nobody_knows_whom_are_shown_and_said(card, tmp_path, models):
    """A server's model has no files; a person may write answers by hand."""
    folder = trained(tmp_path / "run")
    write(folder.folder, answers_jsonl=ANSWER)
    if models is not None:
        write(folder.folder, summary_json={"sentences": []} | models)
    text, warnings = card(artifact=folder)
    note = next(warning for warning in warnings if "unchecked" in warning)
    assert "**Q** 누구야?" in text and f"--tuned {tmp_path / 'run'}" in note
    assert ("there is no summary.json" if models is None else "does not say which files answered") in note


def test_the_command_without_a_recipe(tmp_path):
    folder = trained(tmp_path / "a run").folder
    compared(folder, trained(tmp_path / "other", b"others!").folder)
    (note,) = read_comparison(folder, "someone/base").notes
    assert f"--base someone/base --tuned '{folder}' --data DATASET --out outputs/compare" in note


def test_what_compare_and_merge_write_is_what_publish_reads(training_output, merged_model, published_base, tmp_path):
    prompts = [Prompt("x", 1, ({"role": "user", "content": "누구야?"},))]
    request = Request(tmp_path, str(published_base), str(training_output))
    models = Models(request, prompts).models
    assert models["base_model"] is None
    asked = identity_from(json.loads(json.dumps(models["tuned_model"])))
    assert asked == identity_of(training_output) and asked.weights and asked.chat_template
    assert identity_of(merged_model).merged_from == asked.weights != identity_of(merged_model).weights
    assert identity_of(training_output / "checkpoint-5").weights not in (None, asked.weights)
    copy = shutil.copytree(merged_model, tmp_path / "elsewhere")
    assert identity_of(copy) == identity_of(merged_model)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_card_that_is_there_loses_the_answers_of_weights_that_were_replaced(card, tmp_path, newline):
    folder = trained(tmp_path / "run")
    without, _ = card(artifact=folder)
    compared(folder.folder, folder.folder)
    first, _ = card(artifact=folder)
    there = first.replace("\n", newline)
    for name in ("answers.jsonl", "summary.json"):
        (folder.folder / name).unlink()
    again, warnings = card(artifact=folder, existing=there)
    assert again == there and not [warning for warning in warnings if "answers" in warning], "the weights are the same"

    (folder.folder / "adapter_model.safetensors").write_bytes(b"longer!")
    later, warnings = card(artifact=folder, existing=there)
    (warning,) = [warning for warning in warnings if "answers" in warning]
    assert "of other weights than these, so they are taken out. lf-registry compare" in warning
    assert later == without.replace("\n", newline), "and nothing else is"

    compared(folder.folder, folder.folder)
    renewed, _ = card(artifact=folder, existing=later)
    assert "**Q** 누구야?" in renewed and renewed.index("end about") < renewed.index("begin samples")


def test_a_checkpoints_branch_has_the_runs_card_without_the_answers_of_the_last_weights(
    publish_here, adapter_copy, hub
):
    compared(adapter_copy, adapter_copy, base_model=None)
    publish_here(adapter_copy, checkpoints=True)
    cards = {name: on_the_hub(hub, revision=name)["README.md"].decode() for name in ("main", "checkpoint-5")}
    assert "**Q** 누구야?" in cards["main"] and "**Q** 누구야?" not in cards["checkpoint-5"]
    assert "How it answers" not in cards["checkpoint-5"] and "## How it was trained" in cards["checkpoint-5"]
    # The card on the Hub has them then, and the next run takes it over.
    (adapter_copy / "answers.jsonl").unlink()
    publish_here(adapter_copy, checkpoints=True)
    assert "How it answers" not in on_the_hub(hub, revision="checkpoint-5")["README.md"].decode()
    assert on_the_hub(hub)["README.md"].decode().count("## How it answers") == 1
