"""The tiny model's first training: some Korean, so that there is something to adapt."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from .model import load

#: How many rows are learned from; few, because a model this small learns by heart or not at all in a minute.
CHATS, TEXTS = 48, 16
BATCH = 12


def examples(root: Path, tokenizer: Any) -> list[dict[str, list[int]]]:
    """Token ids of chats (computing questions, politely answered) and of plain texts (Tony Stark's conversations).

    The chats teach the format; the texts only teach the words, without any sign of who speaks.
    """
    questions = json.loads((root / "datasets" / "kanana_qa.json").read_text(encoding="utf-8"))[:CHATS]
    conversations = json.loads((root / "datasets" / "ironman.json").read_text(encoding="utf-8"))[:TEXTS]
    ids = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}],
            return_dict=True,
        )["input_ids"]
        for row in questions
    ]
    for row in conversations:
        for message in row["messages"]:
            text = f"{tokenizer.bos_token}{message['content']}{tokenizer.eos_token}"
            ids.append(tokenizer.encode(text, add_special_tokens=False))
    return [{"input_ids": item, "labels": item} for item in ids]


def in_batches(rows: list[dict[str, list[int]]], count: int, seed: int = 0) -> list[dict[str, list[int]]]:
    """The rows of ``count`` batches in training order: rows of like length together, batches shuffled anew each epoch.

    Half the time of random batches, which are mostly padding here; Transformers groups by length only within 50 batches
    at a time, and an epoch has 8.
    """
    random = Random(seed)
    order: list[dict[str, list[int]]] = []
    while len(order) < count * BATCH:
        epoch = sorted(rows, key=lambda row: len(row["input_ids"]) + random.uniform(0, 30))
        batches = [epoch[i : i + BATCH] for i in range(0, len(epoch) - BATCH + 1, BATCH)]
        random.shuffle(batches)
        order += [row for batch in batches for row in batch]
    return order[: count * BATCH]


def train(folder: Path, root: Path, out: Path, callback: Any = None, steps: int = 230) -> None:
    """Train the model in ``folder`` and write it to ``out``.

    Args:
        folder: a model folder made by ``model.build_model``.
        root: the data root.
        out: the folder of the result.
        callback: a Transformers ``TrainerCallback`` for progress.
        steps: of ``BATCH`` examples each.
    """
    from transformers import DataCollatorForSeq2Seq, PrinterCallback, Trainer, TrainingArguments

    model, tokenizer = load(folder)
    tokenizer.pad_token = tokenizer.eos_token
    arguments = TrainingArguments(
        output_dir=str(out),
        use_cpu=True,
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        train_sampling_strategy="sequential",
        learning_rate=4e-3,
        warmup_steps=20,
        adam_beta2=0.95,
        weight_decay=0.01,
        seed=0,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=in_batches(examples(root, tokenizer), steps),  # type: ignore[arg-type]
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        callbacks=[callback] if callback else None,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    tokenizer.pad_token = None
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
