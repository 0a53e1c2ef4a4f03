"""Run stock ``llamafactory-cli`` again and again in one process: ``python peft_runs.py JOBS.json``.

A job is a list of arguments (``["train", "recipe.yaml"]``), or ``["chat", base, adapter]``, which asks every question
through LLaMA-Factory's ``ChatModel``. Prints one line of JSON after ``RESULT``: what each job said, or how it failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from peft_models import ANSWERS


def results(jobs: list[list[str]], folder: Path, **environment: str) -> list[Any]:
    """What each job said, from one process of its own; ``folder`` takes the list of jobs."""
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    path = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, __file__, str(folder / "jobs.json")],
        env=os.environ | {"PYTHONPATH": path} | environment,
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "RESULT" in done.stdout, done.stderr[-4000:]
    return json.loads(done.stdout.rpartition("RESULT")[2])


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
    print("RESULT" + json.dumps([run(job) for job in jobs], ensure_ascii=False))
