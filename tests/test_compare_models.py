"""Tiny models that know answers by heart: what they say, token for token, and every number exactly."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from compare_models import HELD_OUT, KNOWN, REFERENCES, lines
from lf_registry.compare.answer_log import answer_log
from lf_registry.compare.chat import ask, personas
from lf_registry.compare.decoding import Decoding
from lf_registry.compare.generate import ask_local
from lf_registry.compare.local import LocalModel
from lf_registry.compare.prompts import Prompt
from lf_registry.compare.request import Request
from lf_registry.compare.run import compare
from lf_registry.compare.sides import resolve
from lf_registry.errors import UserError

PROMPTS = [
    Prompt("known", i, ({"role": "user", "content": question},), reference)
    for i, ((question, _, _), reference) in enumerate(zip(KNOWN, REFERENCES, strict=True), 1)
]
SHORT = Decoding(max_new_tokens=24)


@pytest.fixture(scope="module")
def sides(compare_models):
    return resolve(None, str(compare_models.adapter))[0]


def alone(model, tokenizer, question: str) -> list[int]:
    """One question by plain Transformers: no batch, no padding, no adapter of ours."""
    import torch
    from transformers import GenerationConfig

    messages = [{"role": "user", "content": question}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    model.generation_config = plain.generation_config = GenerationConfig(
        max_new_tokens=24, eos_token_id=tokenizer.convert_tokens_to_ids("<|eot_id|>"), pad_token_id=0
    )
    with torch.no_grad():
        return model.generate(**inputs)[0, inputs["input_ids"].shape[1] :].tolist()


def test_batches_with_padding_say_what_one_by_one_says(compare_models, sides):
    """And an adapter that is switched off says what the base says, one that is merged what it says switched on."""
    from lf_registry.tiny.model import load

    for side, folder in zip(sides, (compare_models.base, compare_models.merged), strict=True):
        model, tokenizer = load(folder)
        questions = [prompt.question for prompt in PROMPTS] + [question for question, _ in HELD_OUT]
        expected = [alone(model, tokenizer, question) for question in questions]
        prompts = [Prompt("x", 1, ({"role": "user", "content": question},)) for question in questions]
        asked = ask(side, prompts)
        assert len({len(one.ids) for one in asked}) >= 5, "the batch has padding"
        ours = LocalModel(sides[1])
        (batch,) = ours.answers(side, [asked], SHORT)
        texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in expected]
        assert [answer.text for answer in batch.answers] == texts
        assert [answer.tokens for answer in batch.answers] == [len(ids) for ids in expected]
        assert batch.first_token_seconds and 0 < batch.first_token_seconds <= batch.seconds
        assert batch.peak_bytes and batch.peak_bytes > 2**20


def test_the_likelihood_is_the_trainings_loss(compare_models, sides):
    import torch

    from lf_registry.tiny.model import load

    model, tokenizer = load(compare_models.base)
    asked = ask(sides[0], PROMPTS)
    found = {i: (nll, n) for part in LocalModel(sides[0]).likelihoods(sides[0], asked) for i, nll, n in part}
    for one, prompt in zip(asked, PROMPTS, strict=True):
        messages = [*prompt.messages, {"role": "assistant", "content": prompt.reference}]
        whole = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
        assert one.ids + one.answer == whole and whole[-1] == tokenizer.convert_tokens_to_ids("<|eot_id|>")
        labels = [-100] * len(one.ids) + one.answer
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([whole]), labels=torch.tensor([labels])).loss.item()
        nll, tokens = found[one.index]
        assert tokens == len(one.answer) and nll == pytest.approx(loss * tokens, rel=1e-4, abs=1e-4)


@pytest.fixture(scope="module")
def result(compare_models, tmp_path_factory):
    """Everything at once: training and held-out prompts, an adapter."""
    folder = tmp_path_factory.mktemp("whole")
    train = [{"instruction": q, "output": r} for (q, _, _), r in zip(KNOWN, REFERENCES, strict=True)]
    held = [{"instruction": question, "output": answer} for question, answer in HELD_OUT]
    columns = {"columns": {"prompt": "instruction", "response": "output"}}
    for name, rows in (("train", train), ("held", held)):
        (folder / f"{name}.json").write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    info = {name: {"file_name": f"{name}.json"} | columns for name in ("train", "held")}
    (folder / "dataset_info.json").write_text(json.dumps(info), "utf-8")
    request = Request(
        out=folder / "out",
        tuned=str(compare_models.adapter),
        data=("train",),
        held_out=("held",),
        dataset_dir=str(folder),
        decoding=SHORT,
    )
    return request, compare(request)


def test_every_answer_is_the_one_known_by_heart(result):
    request, _ = result
    rows = lines(request.out / "answers.jsonl")
    assert [(row["prompt"], row["before"], row["after"]) for row in rows[len(HELD_OUT) :]] == KNOWN
    assert [row["dataset"] for row in rows] == ["held"] * len(HELD_OUT) + ["train"] * len(KNOWN)
    assert [row["change"] for row in rows[len(HELD_OUT) :]] == [
        "same" if before == after else "worse" if after != right else "better"
        for (_, before, after), right in zip(KNOWN, REFERENCES, strict=True)
    ]
    assert rows[len(HELD_OUT)]["metrics"] == {
        "before": {"exact_match": 0.0, "f1": 4 / 6},
        "after": {"exact_match": 1.0, "f1": 1.0},
    }


def test_every_number_is_exact(result):
    request, _ = result
    summary = json.loads((request.out / "summary.json").read_text(encoding="utf-8"))
    train = summary["datasets"]["train"]["metrics"]["exact_match"]
    assert (train["before"], train["after"]) == (2 / 9, 8 / 9)
    assert (train["wins"], train["losses"], train["ties"]) == (7, 1, 1) and train["more_than_noise"]
    assert train["difference"] == pytest.approx(6 / 9) and train["low"] < 6 / 9 < train["high"]
    assert summary["equal_answers"] == sum(
        row["before"] == row["after"] for row in lines(request.out / "answers.jsonl")
    )
    assert summary["sanity"]["after"]["never_stops"] == 0 and summary["sanity"]["after"]["hangul_share"] == 1
    assert summary["speed"]["after"]["tokens_per_second"] > 0 and summary["speed"]["before"]["peak_bytes"] > 0


def test_learning_by_heart_is_said(result):
    _, found = result
    fitted = found.summary["over_fitting"]
    verdicts = {entry["name"]: entry["verdict"] for entry in fitted["comparisons"]}
    assert verdicts["exact_match"] == "memorized" and verdicts["perplexity"] in ("memorized", "over-fitted")
    perplexity = fitted["comparisons"][0]
    assert perplexity["train"]["after"] < perplexity["train"]["before"] and perplexity["held_out"]["after"] > 50
    assert any("learned these answers by heart" in sentence for sentence in found.summary["sentences"])
    # What was learned by heart is not counted as quality.
    assert found.summary["measured_on"] == {"prompts": len(HELD_OUT), "held_out": True}
    assert found.summary["metrics"]["exact_match"]["after"] == 0


def test_a_rerun_asks_nothing_and_other_metrics_are_added(result, monkeypatch):
    request, found = result
    monkeypatch.setattr(LocalModel, "__init__", lambda *_, **__: pytest.fail("a model was loaded"))
    again = compare(request)
    assert again.summary == found.summary
    only = compare(replace(request, metrics=("f1",)))
    assert list(only.summary["metrics"]) == ["f1"]
    compare(request)
    with pytest.raises(UserError, match="max_new_tokens was 24, is now 25"):
        compare(replace(request, decoding=Decoding(max_new_tokens=25)))


def test_what_was_lost_is_asked_again(result, compare_models, tmp_path):
    request, found = result
    log = (request.out / "generated.jsonl").read_bytes()
    parts = log.splitlines(keepends=True)
    out = tmp_path / "out"
    out.mkdir()
    (out / "generated.jsonl").write_bytes(b"".join(parts[: len(parts) // 3]) + parts[-1][:7])
    again = compare(replace(request, out=out, decoding=Decoding(max_new_tokens=24, batch_size=3)))
    ours = lines(out / "answers.jsonl")
    assert ours == _rounded(lines(request.out / "answers.jsonl"), ours)
    assert again.summary["metrics"] == found.summary["metrics"]


def _rounded(rows, others):
    """Likelihoods of another batch differ in the last digits."""
    for row, other in zip(rows, others, strict=True):
        for side in ("before", "after"):
            one, two = row["reference_likelihood"][side], other["reference_likelihood"][side]
            assert one["nll"] == pytest.approx(two["nll"], rel=1e-4, abs=1e-4)
            one["nll"] = two["nll"]
    return rows


def test_a_merged_folder_and_a_file_of_prompts(compare_models, project):
    project("ask.txt", "\n".join(question for question, _, _ in KNOWN))
    request = Request(
        out=project.root / "out",
        base=str(compare_models.base),
        tuned=str(compare_models.merged),
        prompts=project.root / "ask.txt",
        decoding=SHORT,
    )
    found = compare(request)
    rows = lines(project.root / "out" / "answers.jsonl")
    assert [(row["prompt"], row["before"], row["after"]) for row in rows] == KNOWN
    assert found.summary["metrics"] == {} and found.summary["perplexity"] is None
    assert found.summary["sentences"][0] == "The answers to 8 of 9 prompts changed."


def test_answers_that_do_not_stop_are_seen(sides, tmp_path):
    decoding = Decoding(max_new_tokens=2)
    with answer_log(tmp_path, {}) as log:
        ask_local(sides, {side.name: ask(side, PROMPTS) for side in sides}, log, decoding)
        answers = log.of("answer", "after")
    assert not any(answer["stopped"] for answer in answers.values())
    assert {answer["tokens"] for answer in answers.values()} == {2}


def test_sampling_is_the_same_after_an_interruption(sides, tmp_path):
    decoding = Decoding(max_new_tokens=8, temperature=3.0, seed=5, batch_size=4)
    asked = {side.name: ask(side, PROMPTS) for side in sides}
    with answer_log(tmp_path / "a", {}) as log:
        ask_local(sides, asked, log, decoding)
        whole = {key: entry for key, entry in log.entries.items() if key[0] == "answer"}
    parts = (tmp_path / "a" / "generated.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "generated.jsonl").write_bytes(b"".join(parts[:4]))
    with answer_log(tmp_path / "b", {}) as log:
        ask_local(sides, asked, log, decoding)
        assert {key: entry for key, entry in log.entries.items() if key[0] == "answer"} == whole
    with answer_log(tmp_path / "c", {}) as log:
        ask_local(sides, asked, log, replace(decoding, seed=6))
        other = {key: entry for key, entry in log.entries.items() if key[0] == "answer"}
    assert [entry["text"] for entry in other.values()] != [entry["text"] for entry in whole.values()]


def test_the_base_without_a_chat_template(compare_models, tmp_path):
    import shutil

    base, tuned = tmp_path / "base", tmp_path / "tuned"
    shutil.copytree(compare_models.base, base)
    (base / "chat_template.jinja").unlink()
    shutil.copytree(compare_models.adapter, tuned)
    (before, after), notes = resolve(str(base), str(tuned))
    assert before.tokenizer.chat_template == after.tokenizer.chat_template
    assert before.stops == [after.tokenizer.convert_tokens_to_ids("<|eot_id|>")]
    assert any("no chat template saved with it" in note for note in notes)

    (before, after), _ = resolve(str(base), str(tuned), template="kanana_qa")
    text = before.tokenizer.apply_chat_template([{"role": "user", "content": "가"}], tokenize=False)
    assert text == "<|question|>\n가\n" and after.template == "saved with it"
    assert before.stops == [before.tokenizer.convert_tokens_to_ids("<|end_of_text|>")]

    (tuned / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="--template NAME"):
        resolve(str(base), str(tuned))


def test_the_saved_template_is_used_and_its_persona_known(compare_models, tmp_path):
    import shutil

    tuned = tmp_path / "tuned"
    shutil.copytree(compare_models.adapter, tuned)
    template = (tuned / "chat_template.jinja").read_text(encoding="utf-8")
    persona = "너는 짧게 대답하는 사람이다."
    (tuned / "chat_template.jinja").write_text(
        template.replace("set system_message = ''", f"set system_message = '{persona}'"), encoding="utf-8"
    )
    (before, after), _ = resolve(str(compare_models.base), str(tuned))
    asked = [after.tokenizer.decode(ask(side, PROMPTS[:1])[0].ids) for side in (before, after)]
    assert persona not in asked[0] and persona in asked[1]
    assert persona in personas(after, PROMPTS)[0] and persona not in personas(before, PROMPTS)[0]
    (before, after), notes = resolve(str(compare_models.base), str(tuned), template="llama3", same_template=True)
    assert before.tokenizer.chat_template == after.tokenizer.chat_template
    assert any("--template llama3 is not used" in note for note in notes)


def test_a_refused_prompt_is_named(sides):
    tools = ({"type": "function", "function": {"name": "a"}},)
    prompt = Prompt("weather", 7, ({"role": "user", "content": "가"},), tools=tools)
    with pytest.raises(UserError, match=r"refuses weather, row 7: this chat template does not support tools"):
        ask(sides[0], [*PROMPTS, prompt])


def test_another_training_is_another_fingerprint(compare_models, tmp_path):
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(compare_models.adapter, copy)
    before = resolve(None, str(compare_models.adapter))[0][1].fingerprint
    (copy / "training_args.bin").write_bytes(b"what a training leaves, and may be deleted")
    assert resolve(None, str(copy))[0][1].fingerprint == before
    weights = load_file(copy / "adapter_model.safetensors")
    save_file({name: value + torch.tensor(1e-3) for name, value in weights.items()}, copy / "adapter_model.safetensors")
    assert resolve(None, str(copy))[0][1].fingerprint != before


def test_folders_that_are_no_models(compare_models, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "out" / "checkpoint-20").mkdir(parents=True)
    (tmp_path / "out" / "checkpoint-20" / "adapter_config.json").write_text("{}")
    for base, tuned, message in (
        (str(compare_models.base), str(tmp_path / "empty"), "no model, no adapter"),
        (str(compare_models.base), str(tmp_path / "nowhere"), "neither a folder here nor a Hub id"),
        (None, str(compare_models.merged), "--base is missing"),
        (str(tmp_path / "empty"), str(compare_models.adapter), "has no config.json"),
        (None, str(tmp_path / "out"), "--tuned .*checkpoint-20"),
    ):
        with pytest.raises(UserError, match=message):
            resolve(base, tuned)


def test_a_broken_model_is_one_message(compare_models, tmp_path):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(compare_models.merged, broken)
    (broken / "model.safetensors").write_bytes(b"nothing")
    sides = resolve(str(compare_models.base), str(broken))[0]
    with pytest.raises(UserError, match="cannot be loaded"):
        LocalModel(sides[1])


def test_perplexity_is_that_of_all_tokens(result):
    request, found = result
    rows = [row for row in lines(request.out / "answers.jsonl") if row["dataset"] == "held"]
    for side in ("before", "after"):
        scores = [row["reference_likelihood"][side] for row in rows]
        expected = math.exp(sum(one["nll"] for one in scores) / sum(one["tokens"] for one in scores))
        assert found.summary["perplexity"][side] == pytest.approx(expected)


def test_weights_that_are_not_there_are_not_made_up(compare_models, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    for name, folder, file in (
        ("model", compare_models.merged, "model.safetensors"),
        ("adapter", compare_models.adapter, "adapter_model.safetensors"),
    ):
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        weights = load_file(copy / file)
        weights.pop(next(key for key in weights if "q_proj" in key))
        save_file(weights, copy / file, metadata={"format": "pt"})
        side = resolve(str(compare_models.base), str(copy))[0][1]
        with pytest.raises(UserError, match=r"cannot be loaded: .*(lack|missing).*q_proj"):
            LocalModel(side)


def test_an_adapter_that_is_no_lora(compare_models, tmp_path):
    """A prefix cannot be merged; switched off it must leave the base, switched on it is what PEFT makes of it."""
    import torch
    from peft import PeftModel, PrefixTuningConfig, get_peft_model

    from lf_registry.tiny.model import load

    model, tokenizer = load(compare_models.base)
    torch.manual_seed(0)
    tuned = get_peft_model(model, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    torch.nn.init.normal_(tuned.prompt_encoder.default.embedding.weight, std=3.0)
    tuned.peft_config["default"].base_model_name_or_path = str(compare_models.base)
    tuned.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    sides = resolve(None, str(tmp_path))[0]
    ours = LocalModel(sides[1])
    texts = {}
    for side in sides:
        (batch,) = ours.answers(side, [ask(side, PROMPTS)], SHORT)
        texts[side.name] = [answer.text for answer in batch.answers]
    assert texts["before"] == [before for _, before, _ in KNOWN]
    alone_model, _ = load(compare_models.base)
    theirs = PeftModel.from_pretrained(alone_model, tmp_path).eval()
    expected = [tokenizer.decode(alone(theirs, tokenizer, p.question), skip_special_tokens=True) for p in PROMPTS]
    assert texts["after"] == expected and texts["after"] != texts["before"]
    for model, side in ((alone_model, sides[0]), (theirs, sides[1])):
        asked = ask(side, PROMPTS)
        found = {i: nll for part in ours.likelihoods(side, asked) for i, nll, _ in part}
        for one in asked:
            whole, labels = torch.tensor([one.ids + one.answer]), [-100] * len(one.ids) + one.answer
            with torch.no_grad():
                loss = model(input_ids=whole, attention_mask=whole * 0 + 1, labels=torch.tensor([labels])).loss.item()
            assert found[one.index] == pytest.approx(loss * len(one.answer), rel=1e-4, abs=1e-4)


def test_an_adapter_with_more_tokens_leaves_the_base_alone(compare_models, tmp_path):
    """Switched off it would still have the new tokens, so the base is loaded by itself."""
    from peft import LoraConfig, get_peft_model

    from lf_registry.tiny.model import load

    model, tokenizer = load(compare_models.base)
    old = len(tokenizer)
    tokenizer.add_tokens(["<|new|>"])
    model.resize_token_embeddings(len(tokenizer))
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["embed_tokens"]))
    tuned.peft_config["default"].base_model_name_or_path = str(compare_models.base)
    tuned.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    sides = resolve(None, str(tmp_path / "adapter"))[0]
    assert sides[0].rows is None and sides[1].rows == old + 1
    with answer_log(tmp_path / "out", {}) as log:
        ask_local(sides, {side.name: ask(side, PROMPTS[:3]) for side in sides}, log, SHORT)
        answers = {side: [entry["text"] for entry in log.of("answer", side).values()] for side in ("before", "after")}
    assert sorted(answers["before"]) == sorted(before for _, before, _ in KNOWN[:3]) == sorted(answers["after"])
