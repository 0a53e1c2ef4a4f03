"""A tiny model that knows answers by heart, and adapters that know others: every metric has an exact value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

#: Question, the base's answer, the tuned model's answer. Some are equal, some get better, one gets worse.
KNOWN = [
    ("대한민국의 수도는 어디인가요?", "부산입니다.", "서울입니다."),
    ("한글을 만든 왕은 누구인가요?", "태조입니다.", "세종대왕입니다."),
    ("일주일은 며칠인가요?", "칠 일입니다.", "칠 일입니다."),
    ("사과는 무슨 색인가요?", "파란색입니다.", "빨간색입니다."),
    ("물은 몇 도에서 끓나요?", "백 도입니다.", "모르겠습니다."),
    ("무궁화는 무엇인가요?", "나무 이름입니다.", "우리나라의 꽃입니다."),
    ("가장 높은 산은 어디인가요?", "한라산입니다.", "에베레스트산입니다."),
    ("겨울 다음에 오는 계절은 무엇인가요?", "가을입니다.", "봄입니다."),
    ("아주 긴 질문을 하나 해 보겠습니다. 하루는 모두 합해서 몇 시간인가요?", "열두 시간입니다.", "스물네 시간입니다."),
]
#: What is right: the tuned model's answers, but for the boiling water.
REFERENCES = [after if after != "모르겠습니다." else before for _, before, after in KNOWN]
#: Asked by nobody in training.
HELD_OUT = [
    ("바다는 무슨 맛인가요?", "짠맛입니다."),
    ("토끼는 무엇을 먹나요?", "풀을 먹습니다."),
    ("밤에 뜨는 것은 무엇인가요?", "달입니다."),
    ("비가 오면 무엇을 쓰나요?", "우산을 씁니다."),
    ("책은 어디에서 빌리나요?", "도서관에서 빌립니다."),
    ("눈사람은 무엇으로 만드나요?", "눈으로 만듭니다."),
    ("바늘에는 무엇을 꿰나요?", "실을 꿰어 씁니다."),
]


@dataclass(frozen=True)
class Models:
    """Folders: the base, an adapter of it, and both in one model."""

    base: Path
    adapter: Path
    merged: Path


def learn(model, tokenizer, answers: list[tuple[str, str]], steps: int, rate: float) -> None:
    """Teach answers with plain PyTorch, all of them at once, on the answers' tokens alone."""
    import torch

    rows = []
    for question, answer in answers:
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        prompt = tokenizer.apply_chat_template(messages[:1], add_generation_prompt=True, return_dict=True)["input_ids"]
        whole = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
        rows.append((whole, [-100] * len(prompt) + whole[len(prompt) :]))
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
    labels = torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in rows])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0)
    model.train()
    for _ in range(steps):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    assert loss.item() < 0.02, f"not learned by heart: {loss.item()}"


@pytest.fixture(scope="session")
def compare_models(tmp_path_factory) -> Models:
    import torch
    from peft import LoraConfig, get_peft_model

    from lf_registry.tiny.model import build_model, load

    folder = tmp_path_factory.mktemp("compare")
    models = Models(folder / "base", folder / "adapter", folder / "merged")
    texts = [text for row in (*KNOWN, *HELD_OUT) for text in row]
    build_model(models.base, texts, hidden=96, layers=2)
    model, tokenizer = load(models.base)
    torch.manual_seed(0)
    # Read backwards, the questions have the other answers: an adapter this small chooses words, it does not learn them.
    known = [(question, before) for question, before, _ in KNOWN] + [(q[::-1], after) for q, _, after in KNOWN]
    learn(model, tokenizer, known, 80, 4e-3)
    # What its folder says about decoding is not what both sides are asked with.
    model.generation_config.update(do_sample=True, temperature=1.5, min_new_tokens=12)
    model.save_pretrained(models.base)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
    tuned = get_peft_model(model, config)
    learn(tuned, tokenizer, [(question, after) for question, _, after in KNOWN], 80, 5e-3)
    tuned.peft_config["default"].base_model_name_or_path = str(models.base)
    tuned.save_pretrained(models.adapter)
    tokenizer.save_pretrained(models.adapter)
    tuned.merge_and_unload().save_pretrained(models.merged)
    tokenizer.save_pretrained(models.merged)
    return models


@pytest.fixture
def compare_data(project):
    """A user's folder with the training data and held-out data as datasets."""
    train = [{"instruction": q, "output": r} for (q, _, _), r in zip(KNOWN, REFERENCES, strict=True)]
    project("train.json", train)
    project("held.json", [{"instruction": question, "output": answer} for question, answer in HELD_OUT])
    columns = {"columns": {"prompt": "instruction", "response": "output"}}
    project(
        "dataset_info.json",
        {"train": {"file_name": "train.json"} | columns, "held": {"file_name": "held.json"} | columns},
    )
    return project


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
