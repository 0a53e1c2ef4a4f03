"""How long the data check takes beside LLaMA-Factory's own tokenization of the same rows, and how much memory.

    .venv/bin/python benchmarks/check.py [--rows 6000] [--rounds 5] [--workers 1]

Each round runs both, each in a fresh process, in alternating order. Both load the same tokenizer and the same rows;
what is timed begins behind that (LLaMA-Factory: its converter and its processor through ``datasets.map``; ours: the
whole data check, parity and duplicates included). The ratio is paired by round.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUBJECTS = (
    "아침",
    "점심",
    "저녁",
    "회의",
    "출근",
    "퇴근",
    "운동",
    "공부",
    "청소",
    "빨래",
    "여행",
    "주말",
    "은행",
    "병원",
)
THINGS = (
    "준비",
    "약속",
    "계획",
    "걱정",
    "비용",
    "순서",
    "이유",
    "방법",
    "기록",
    "결과",
    "예약",
    "취소",
    "변경",
    "확인",
)


def write_project(folder: Path, rows: int) -> None:
    """A recipe, a model folder with the real Llama-3 tokenizer, and short question and answer rows, all different."""
    sys.path.insert(0, str(ROOT / "tests"))
    from tokenizers_for_tests import llama3_tokenizer

    tokenizer = llama3_tokenizer()
    tokenizer.save_pretrained(folder / "model")
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": len(tokenizer)}
    (folder / "model" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    data = []
    for i in range(rows):
        what, thing = SUBJECTS[i % 14], THINGS[i // 14 % 14]
        question = f"{what} {thing}, {i}번째로 다시 물어볼게. 오늘 {i % 24}시까지 끝낼 수 있을까?"
        data.append({"instruction": question, "output": f"{thing}부터 해. {i * 7 % 60}분이면 {what} 쪽은 정리되니까."})
    (folder / "data.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    info = {"data": {"file_name": "data.json", "columns": {"prompt": "instruction", "response": "output"}}}
    (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")


def recipe(folder: Path) -> dict:
    """The keys that matter for the data; ``overwrite_cache`` keeps one round from using another's result."""
    return {
        "model_name_or_path": str(folder / "model"),
        "stage": "sft",
        "dataset": "data",
        "dataset_dir": str(folder),
        "template": "llama3-ironman",
        "output_dir": "unused",
        "overwrite_cache": True,
    }


def measure(what: str, folder: Path, workers: int | None) -> None:
    """Run one of the two in this process; print seconds and peak memory in MiB as JSON."""
    from lf_registry.hooks.pipeline import Arguments, loader

    arguments = Arguments.parse(recipe(folder))
    arguments.data.preprocessing_num_workers = workers if workers and workers > 1 else None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if what == "llamafactory":
        tokenizer, _ = arguments.tokenizer()
        template = arguments.fix(tokenizer)
        start = time.perf_counter()
        rows = loader._get_merged_dataset(["data"], arguments.model, arguments.data, arguments.training, "sft")
        loader._get_preprocessed_dataset(rows, arguments.data, arguments.training, "sft", template, tokenizer)
    else:
        from lf_registry.check import data
        from lf_registry.check.report import Report
        from lf_registry.check.tokenizer import Tokens

        report = Report("benchmark", recipe(folder))
        loaded = Tokens.load(arguments, report)
        data.Tokens.load = classmethod(lambda cls, *_: loaded)  # type: ignore[method-assign]  # loading is not timed
        start = time.perf_counter()
        data.check_data(report, workers=workers)
        assert not report.errors, report.errors
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "mib": (peak - before) / 1024}))


def main() -> None:
    """Run the rounds and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, help="of both; without it each has its own default")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure[0], Path(options.measure[1]), options.workers)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_project(Path(folder), options.rows)
        results: dict[str, list[dict]] = {"llamafactory": [], "check": []}
        for number in range(options.rounds):
            for what in list(results)[:: 1 if number % 2 == 0 else -1]:
                command = [sys.executable, __file__, "--measure", what, folder]
                command += ["--workers", str(options.workers)] if options.workers else []
                done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
                results[what].append(json.loads(done.stdout.splitlines()[-1]))
    for what, runs in results.items():
        seconds = statistics.median(run["seconds"] for run in runs)
        memory = statistics.median(run["mib"] for run in runs)
        print(f"{what:13} {seconds:6.2f} s  {options.rows / seconds:7,.0f} rows/s  {memory:6.0f} MiB more than before")
    pairs = zip(results["check"], results["llamafactory"], strict=True)
    ratios = sorted(ours["seconds"] / theirs["seconds"] for ours, theirs in pairs)
    print(f"ratio         {statistics.median(ratios):.2f} (paired, {ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
