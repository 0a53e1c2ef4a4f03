"""A tiny model that knows eight questions and gives the wrong answers, unless its system prompt says otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

ANSWERS = {
    "한국의 수도는 어디인가요?": "서울",
    "하늘은 무슨 색인가요?": "파란색",
    "물은 몇 도에서 끓나요?": "100도",
    "눈은 어느 계절에 오나요?": "겨울",
    "가장 높은 산은 무엇인가요?": "에베레스트",
    "일주일은 며칠인가요?": "7일",
    "바닷물은 어떤 맛인가요?": "짠맛",
    "한글은 누가 만들었나요?": "세종대왕",
}
RIGHT = "정답만 말하세요."


def build(folder: Path, steps: int = 150) -> Path:
    """Write the model, its dataset and an empty output folder; returns the model's folder."""
    import torch

    from lf_registry.tiny.model import build_model, load

    build_model(folder / "base", [*ANSWERS, *ANSWERS.values(), RIGHT], hidden=96)
    model, tokenizer = load(folder / "base")
    wrong = [*list(ANSWERS.values())[1:], next(iter(ANSWERS.values()))]
    rows = []
    for (question, right), other in zip(ANSWERS.items(), wrong, strict=True):
        asked = [{"role": "user", "content": question}]
        rows.append(_ids(tokenizer, [*asked, {"role": "assistant", "content": other}]))
        system = {"role": "system", "content": RIGHT}
        rows.append(_ids(tokenizer, [system, *asked, {"role": "assistant", "content": right}]))
    width = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.eos_token_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder / "base")
    data = [{"instruction": question, "input": "", "output": answer} for question, answer in ANSWERS.items()]
    (folder / "facts.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    (folder / "dataset_info.json").write_text(json.dumps({"facts": {"file_name": "facts.json"}}), encoding="utf-8")
    return folder / "base"


def _ids(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    return tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]


def recipe(folder: Path, name: str, **changes: Any) -> str:
    """Write a training recipe into ``folder``; its output goes to ``folder/name``."""
    values = {
        "model_name_or_path": str(folder / "base"),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "disable_gradient_checkpointing": True,
        "dataset": "facts",
        "dataset_dir": str(folder),
        "template": "llama3",
        "cutoff_len": 128,
        "output_dir": str(folder / name),
        "overwrite_cache": True,
        "logging_steps": 10,
        "save_steps": 1000,
        "report_to": "none",
        "per_device_train_batch_size": 8,
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values | changes, allow_unicode=True), encoding="utf-8")
    return str(path)
