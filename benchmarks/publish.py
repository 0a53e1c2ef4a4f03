"""Time `lf-registry publish` of a merged model beside a plain `HfApi.upload_folder`, to the loopback Hub of the tests.

    python benchmarks/publish.py                  # 1 GB, seven interleaved rounds, with Xet and without
    python benchmarks/publish.py --rounds 3 --gigabytes 0.3 --mode xet

Both begin with nothing in the repository and in HF_HOME, in a process of their own, so that imports count. Ours
also checks the folder (by the hashes of the merge report), searches it for secrets, writes the card, and compares
every file on the Hub with the local one; the plain one does none of this. Needs five times the model's size on disk;
nothing is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
PLAIN = """
import sys
from huggingface_hub import HfApi
from huggingface_hub.utils import disable_progress_bars
disable_progress_bars()
api = HfApi()
api.create_repo("tester/plain", private=True)
api.upload_folder(repo_id="tester/plain", folder_path=sys.argv[1])
"""
OURS = "from lf_registry.cli import main; main()"
#: A base under Apache-2.0; nobody reads it.
BASE = "kakaocorp/kanana-1.5-2.1b-base"


def make_model(folder: Path, gigabytes: float) -> None:
    """Write what `lf-registry merge` leaves: shards of random weights, config, tokenizer, and a report with hashes."""
    import torch
    import xxhash
    from safetensors.torch import save_file
    from transformers import LlamaConfig

    from lf_registry.tiny.model import build_tokenizer, bundled_corpus

    folder.mkdir(parents=True)
    build_tokenizer(bundled_corpus(ROOT)).save_pretrained(folder)
    hidden, inner = 2048, 8192
    layers = max(1, round(gigabytes * 1e9 / (2 * 3 * hidden * inner)))
    config = LlamaConfig(vocab_size=3007, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers)
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    torch.manual_seed(0)
    files, weight_map, size = {}, {}, 0
    shards = max(1, layers // 3)
    for shard in range(shards):
        name = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        own = [layer for layer in range(layers) if layer % shards == shard]
        tensors = {
            f"model.layers.{layer}.mlp.{part}_proj.weight": torch.empty(inner, hidden, dtype=torch.bfloat16).normal_()
            for layer in own
            for part in ("gate", "up", "down")
        }
        save_file(tensors, folder / name, metadata={"format": "pt"})
        data = (folder / name).read_bytes()
        files[name] = {"bytes": len(data), "xxh3_128": xxhash.xxh3_128_hexdigest(data)}
        weight_map |= dict.fromkeys(tensors, name)
        size += len(data)
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    report = {"base": BASE, "adapters": [], "verified": "tensors", "tensors": {"files": files}}
    (folder / "merge_report.json").write_text(json.dumps(report))


def timed(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Run a command; returns its wall and its CPU seconds, the server's not included."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{command[:4]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print one line a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--mode", choices=["xet", "lfs"], action="append")
    parser.add_argument("--folder", type=Path, help="where to write; a new temporary folder when left out")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="publish-", dir=options.folder)).resolve()
    try:
        # In a process of its own: the memory of torch does not stay with the server.
        code = f"import publish; from pathlib import Path; publish.make_model(Path({str(work / 'model')!r}), "
        code += f"{options.gigabytes})"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent, stderr=subprocess.DEVNULL)
        for mode in options.mode or ["xet", "lfs"]:
            measure(work, mode, options.rounds)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def measure(work: Path, mode: str, rounds: int) -> None:
    """Run both, interleaved, each time with a new Hub; the first of a pair changes from round to round."""
    from hub.server import Server

    model = work / "model"
    size = sum(path.stat().st_size for path in model.iterdir())
    commands = {
        "upload_folder": [sys.executable, "-c", PLAIN, str(model)],
        "publish": [sys.executable, "-c", OURS, "publish", str(model), "tester/ours"],
    }
    for path in model.iterdir():  # warm the cache
        path.read_bytes()
    server = Server().start()
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(rounds):
        for name in sorted(commands, reverse=bool(number % 2)):
            folder = work / "hub"
            folder.mkdir()
            hub = server.fresh(folder)
            hub.settings.chunk_size = 64 * 1024 * 1024
            seen[name].append(timed(commands[name], hub.env(mode)))
            shutil.rmtree(folder)
            os.sync()
    server.stop()
    load = os.getloadavg()[0]
    print(f"{mode}: {size / 1e9:.2f} GB, {rounds} interleaved rounds; median seconds; load at the end {load:.1f}")
    for index, what in enumerate(("wall", "CPU")):
        for name, runs in seen.items():
            values = [run[index] for run in runs]
            print(f"  {what:5}{name:14}{statistics.median(values):7.2f}  ({min(values):.2f} to {max(values):.2f})")
        pairs = zip(seen["publish"], seen["upload_folder"], strict=True)
        ratios = sorted(ours[index] / plain[index] for ours, plain in pairs)
        print(
            f"  {what:5}paired ratio {statistics.median(ratios):.3f}  ({ratios[0]:.3f} to {ratios[-1]:.3f})", flush=True
        )


if __name__ == "__main__":
    main()
