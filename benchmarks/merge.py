"""What a merge costs beside copying the base: wall, CPU, peak memory, and the ratio to ``cp -r`` of the same round.

    python benchmarks/merge.py                         # 1.5 B parameters (3 GB), seven interleaved rounds
    python benchmarks/merge.py --layers 60 --no-peft --no-export    # 8 GB: does the memory stay flat?

The base is a Llama with random weights in bf16; the adapter is LoRA r=16 on all linear layers. Every command is a
process of its own, so that imports count. Needs twelve times the model's size on disk; nothing is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXPORT_NAME = "llamafactory-cli export"
WIDTH = 15
PEFT = """
import sys, torch
from transformers import AutoModelForCausalLM
from peft import PeftModel
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16)
PeftModel.from_pretrained(model, sys.argv[2]).merge_and_unload().save_pretrained(sys.argv[3])
"""
EXPORT = """
model_name_or_path: {base}
adapter_name_or_path: {adapter}
template: llama3
finetuning_type: lora
export_dir: {out}
export_size: 5
export_device: cpu
infer_dtype: bfloat16
trust_remote_code: false
"""


def make_base(folder: Path, layers: int) -> None:
    """Write the base shard by shard, with the tokenizer of the demo's tiny model, without holding it in memory."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    from lf_registry.paths import base_root
    from lf_registry.tiny.model import build_tokenizer, bundled_corpus

    folder.mkdir(parents=True)
    build_tokenizer(bundled_corpus(base_root().path)).save_pretrained(folder)
    sizes = {"hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 32, "num_key_value_heads": 8}
    config = LlamaConfig(vocab_size=128256, num_hidden_layers=layers, dtype="bfloat16", **sizes)
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in LlamaForCausalLM(config).state_dict().items()}
    torch.manual_seed(0)
    files: list[list[str]] = [[]]
    held = 0
    for name, shape in shapes.items():
        if held > 800e6:
            files.append([])
            held = 0
        files[-1].append(name)
        held += 2 * shape.numel()
    weight_map = {}
    for i, names in enumerate(files, 1):
        file = f"model-{i:05d}-of-{len(files):05d}.safetensors"
        tensors = {name: torch.empty(shapes[name], dtype=torch.bfloat16).normal_(std=0.02) for name in names}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    total = sum(2 * shape.numel() for shape in shapes.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def make_adapter(base: Path, folder: Path) -> None:
    """Write a LoRA r=16 on all linear layers, with random B."""
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig.from_pretrained(base))
    tensors, targets = {}, set()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            outer, inner = module.weight.shape
            tensors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(16, inner) * 0.02
            tensors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(outer, 16) * 0.02
            targets.add(name.rpartition(".")[2])
    LoraConfig(r=16, lora_alpha=24, target_modules=targets, base_model_name_or_path=str(base)).save_pretrained(folder)
    save_file(tensors, folder / "adapter_model.safetensors")


def timed(command: list[str]) -> tuple[float, float, float]:
    """Run a command; returns wall seconds, CPU seconds and peak memory in MB."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        if status:
            log.seek(0)
            sys.exit(f"{command[:4]} failed:\n{log.read().decode(errors='replace')[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3


def main() -> None:
    """Measure and print one line a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--layers", type=int, default=16, help="16: 1.5 B parameters, 3 GB")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, help="where to write; a new temporary folder when left out")
    parser.add_argument("--no-peft", dest="peft", action="store_false")
    parser.add_argument("--no-export", dest="export", action="store_false")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="merge-", dir=options.folder)).resolve()
    try:
        measure(work, options)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def measure(work: Path, options: argparse.Namespace) -> None:
    """Make the models in ``work`` and run everything, interleaved."""
    base, adapter, out = work / "base", work / "adapter", work / "out"
    # In a process of their own: the peak memory of a child counts what its parent had when it was started.
    make = f"import merge; from pathlib import Path; b = Path({str(base)!r}); merge.make_base(b, {options.layers})"
    make += f"; merge.make_adapter(b, Path({str(adapter)!r}))"
    subprocess.run([sys.executable, "-c", make], check=True, cwd=Path(__file__).parent, stderr=subprocess.DEVNULL)
    recipe = work / "export.yaml"
    recipe.write_text(EXPORT.format(base=base, adapter=adapter, out=out))
    size = sum(path.stat().st_size for path in base.iterdir())
    ours = [str(Path(sys.executable).with_name("lf-registry")), "merge", str(adapter), "--out", str(out)]
    ours += ["--threads", str(options.threads)]
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "cp -r": ["cp", "-r", str(base), str(out)],
        "cp -r; sync": ["sh", "-c", f"cp -r {base} {out} && sync -f {out}"],
        "merge": ours,
        "merge --verify none": [*ours, "--verify", "none"],
        "merge --verify tensors": [*ours, "--verify", "tensors"],
    }
    if options.peft:
        commands["PEFT"] = [sys.executable, "-c", PEFT, str(base), str(adapter), str(out)]
    if options.export:
        commands[EXPORT_NAME] = [str(Path(sys.executable).with_name("llamafactory-cli")), "export", str(recipe)]
    print(f"base {size / 1e9:.2f} GB, {options.rounds} interleaved rounds, {options.threads} threads", flush=True)
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            # Warm up each time: some systems empty the cache within a minute, and some virtual machines give memory
            # back that nobody uses, and wait for it when it is needed again.
            shutil.copytree(base, out)
            shutil.rmtree(out)
            os.sync()
            seen[name].append(timed(command))
            shutil.rmtree(out, ignore_errors=True)
            os.sync()
    beside = ("cp -r", "cp -r; sync")
    print(f"{'':24}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}" + "".join(f"{'/ ' + name:>{WIDTH}}" for name in beside))
    for name, runs in seen.items():
        wall, cpu, peak = (statistics.median(run[i] for run in runs) for i in range(3))
        ratios = [
            statistics.median(run[0] / to[0] for run, to in zip(runs, seen[kind], strict=True)) for kind in beside
        ]
        print(f"{name:24}{wall:8.2f}{cpu:8.2f}{peak:9.0f}" + "".join(f"{ratio:{WIDTH}.2f}" for ratio in ratios))
    if options.export:
        for name, runs in list(seen.items())[:-1]:  # export itself is the last
            faster = sorted(to[0] / run[0] for run, to in zip(runs, seen[EXPORT_NAME], strict=True))
            least, middle, most = faster[0], statistics.median(faster), faster[-1]
            print(f"export takes {middle:.1f} ({least:.1f} to {most:.1f}) times as long as {name}")


if __name__ == "__main__":
    main()
