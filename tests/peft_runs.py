"""Run stock ``llamafactory-cli`` again and again in one process: ``python peft_runs.py JOBS.json``.

A job is a list of arguments (``["train", "recipe.yaml"]``), or ``["chat", base, adapter]``, which asks every question
through LLaMA-Factory's ``ChatModel``. Prints one line of JSON after ``RESULT``: what each job said, or how it failed.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from peft_models import ANSWERS


def chat(base: str, adapter: str) -> list[str]:
    from llamafactory.chat import ChatModel

    settings = {"model_name_or_path": base, "template": "llama3", "infer_dtype": "float32"}
    settings |= {"adapter_name_or_path": adapter, "do_sample": False, "max_new_tokens": 12}
    model = ChatModel(settings)
    return [model.chat([{"role": "user", "content": question}])[0].response_text for question in ANSWERS]


def run(job: list[str]) -> Any:
    from llamafactory.cli import main

    try:
        if job[0] == "chat":
            return chat(*job[1:])
        sys.argv = ["llamafactory-cli", *job]
        main()
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"
    return "done"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as stream:  # noqa: PTH123
        jobs = json.load(stream)
    results = [run(job) for job in jobs]
    print("RESULT" + json.dumps(results, ensure_ascii=False))
