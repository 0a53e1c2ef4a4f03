"""A job with nothing stood in for: the real check, training and merge of a tiny model, killed while it trains."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time

import psutil
import pytest

from conftest import ROOT
from job_runs import SCRIPT
from lf_registry.resume.judge import validate
from lf_registry.tiny.model import build_model

RECIPE = """
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: q_proj,v_proj
dataset: ironman
dataset_dir: .
template: llama3
cutoff_len: 768
max_samples: 8
preprocessing_num_workers: 1
per_device_train_batch_size: 1
learning_rate: 1.0e-2
max_steps: 12
logging_steps: 1
save_steps: 2
report_to: none
use_cpu: true
"""


@pytest.fixture
def command(tmp_path, bundled_texts) -> list[str]:
    build_model(tmp_path / "base", bundled_texts)
    lines = f"model_name_or_path: {tmp_path}/base\n"
    (tmp_path / "recipe.yaml").write_text(f"{lines}output_dir: {tmp_path}/out\n{RECIPE}")
    merge = f"adapter_name_or_path: {tmp_path}/out\nexport_dir: {tmp_path}/merged\ntemplate: llama3\n"
    (tmp_path / "merge.yaml").write_text(f"{lines}{merge}finetuning_type: lora\n")
    return ["bash", str(SCRIPT), str(tmp_path / "recipe.yaml"), "--merge", str(tmp_path / "merge.yaml")]


def test_a_job_that_is_killed_while_it_trains_goes_on_and_repeats_nothing(command, tmp_path):
    environment = os.environ | {"PYTHON": sys.executable, "LF_REGISTRY_JOBS": str(tmp_path / "jobs")}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as job:
        until = time.monotonic() + 300
        while validate(tmp_path / "out/checkpoint-2"):  # its last file is there before it is written
            assert time.monotonic() < until and job.poll() is None, job.stdout.read().decode()[-3000:]
            time.sleep(0.01)
        processes = [psutil.Process(job.pid), *psutil.Process(job.pid).children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=60)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    resumed = re.search(r"Resuming training from \S+checkpoint-(\d+)", done.stdout)
    assert resumed and 2 <= int(resumed[1]) < 12, done.stdout[-5000:]
    assert "check: done before; skipped" in done.stdout and "train: starts (attempt 2)" in done.stdout
    assert json.loads((tmp_path / "out/trainer_state.json").read_text())["global_step"] == 12
    assert json.loads((tmp_path / "merged/merge_report.json").read_text())["verified"] != "none"
    assert f"next: lf-registry publish {tmp_path}/merged REPO_ID" in done.stdout.splitlines()[-1]
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0 and again.stdout.count("done before; skipped") == 3
