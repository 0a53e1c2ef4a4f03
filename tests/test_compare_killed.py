"""A comparison that is killed while it answers, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from compare_models import KNOWN, lines
from lf_registry.compare.decoding import Decoding
from lf_registry.compare.request import Request
from lf_registry.compare.run import compare

COPIES = 8
CODE = "from lf_registry.cli import main; main()"


def test_kill_9_and_go_on(compare_models, project):
    questions = [f"{i}. {question}" for i in range(COPIES) for question, _, _ in KNOWN]
    ask = project("ask.txt", "\n".join(questions))
    out = project.root / "out"
    options = ["--tuned", str(compare_models.adapter), "--prompts", str(ask), "--out", str(out)]
    options += ["--max-new-tokens", "24", "--batch-size", "1"]
    running = subprocess.Popen(
        [sys.executable, "-c", CODE, "compare", *options], env=dict(os.environ), stderr=subprocess.PIPE, text=True
    )
    log = out / "generated.jsonl"
    deadline = time.monotonic() + 240
    while (not log.is_file() or log.read_bytes().count(b'"kind": "answer"') < 3) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert running.poll() is None, running.stderr.read()
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    answered = log.read_bytes().count(b'"kind": "answer"')
    assert 3 <= answered < 2 * len(questions) and not (out / "answers.jsonl").exists()
    kept = log.read_bytes()[: log.read_bytes().rfind(b"\n") + 1]

    request = Request(out=out, tuned=str(compare_models.adapter), prompts=ask)
    decoding = Decoding(max_new_tokens=24, batch_size=32)
    compare(Request(**{**vars(request), "decoding": decoding}))
    assert log.read_bytes().startswith(kept), "what was answered before is not asked again"
    compare(Request(**{**vars(request), "decoding": decoding, "out": project.root / "whole"}))
    assert lines(out / "answers.jsonl") == lines(project.root / "whole" / "answers.jsonl")
    assert [row["prompt"] for row in lines(out / "answers.jsonl")] == questions
