"""``make demo``: the shipped recipe on a tiny model, from nothing to a persona, on two CPU cores.

Run with ``python -m lf_registry.tiny.demo``.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ..errors import UserError
from ..paths import base_root
from .first_training import train
from .model import build_model, bundled_corpus, load
from .steps import Runner, quiet, step_bar

SAMPLES = 16
#: What the demo changes in recipes/ironman_lora.yaml besides model and output: the batch and the step budget. The
#: learning rate belongs to it, because one for 8 billion parameters moves a million nowhere in so few steps; and bf16
#: mixed precision does not exist on a CPU.
BUDGET = (
    f"max_samples={SAMPLES}",
    "per_device_train_batch_size=8",
    "gradient_accumulation_steps=1",
    "learning_rate=1.0e-2",
    "max_steps=80",
    "logging_steps=5",
    "eval_strategy=steps",
    "eval_steps=40",
    "bf16=false",
)


def llamafactory(*arguments: str) -> list[str]:
    """The stock command of this Python's environment."""
    return [str(Path(sys.executable).with_name("llamafactory-cli")), *arguments]


def train_persona(base: Path, adapter: Path, *overrides: str) -> list[str]:
    """The command that trains the shipped recipe on the tiny model."""
    recipe = "recipes/ironman_lora.yaml"
    return llamafactory("train", recipe, f"model_name_or_path={base}", f"output_dir={adapter}", *BUDGET, *overrides)


def merge_persona(base: Path, adapter: Path, merged: Path) -> list[str]:
    """The command that merges with the shipped merge recipe."""
    paths = [f"model_name_or_path={base}", f"adapter_name_or_path={adapter}", f"export_dir={merged}"]
    command = str(Path(sys.executable).with_name("lf-registry"))
    return [command, "merge", "recipes/merge/ironman.yaml", *paths, "infer_dtype=float32"]


def answer(folder: Path, questions: list[str]) -> list[str]:
    """Ask a model folder with plain Transformers and the chat template saved in it; greedy, at most 160 tokens."""
    import torch

    model, tokenizer = load(folder)
    answers = []
    for question in questions:
        messages = [{"role": "user", "content": question}]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            output = model.generate(**inputs, max_new_tokens=160, do_sample=False, pad_token_id=tokenizer.eos_token_id)
        answers.append(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    return answers


def questions(root: Path, count: int = 3) -> list[str]:
    """Short questions among the examples that the demo trains on."""
    rows = json.loads((root / "datasets" / "ironman.json").read_text(encoding="utf-8"))[:SAMPLES]
    single = [row["messages"][0]["content"] for row in rows if len(row["messages"]) == 2]
    return sorted(single, key=len)[:count]


def shorten(text: str, most: int = 160) -> str:
    """One line of at most ``most`` characters."""
    line = " ".join(text.split())
    return (line if len(line) <= most else line[:most].rstrip() + " ...") or "(nothing)"


def run(root: Path, out: Path, console: Console) -> None:
    """The whole demo; ``out`` is made anew."""
    started = time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    runner = Runner(root, out / "logs", console)
    random, base, adapter, merged = (out / name for name in ("random", "base", "adapter", "merged"))

    def done(text: str, seconds: float) -> None:
        console.print(f"  [green]done[/green] {text} [dim]({seconds:.0f} s)[/dim]")

    console.print("[bold]lf-registry demo[/bold]: stock LLaMA-Factory, DeepSpeed ZeRO-3, a tiny model, this CPU")
    quiet()
    build_model(random, bundled_corpus(root))
    done("built a tiny Llama with a Korean tokenizer and random weights", time.monotonic() - started)
    begun = time.monotonic()
    with step_bar(console, "first training") as callback:
        train(random, root, base, callback)
    done("taught it some Korean, so that there is something to adapt", time.monotonic() - begun)
    seconds = runner.run("training", train_persona(base, adapter), adapter)
    done("llamafactory-cli train recipes/ironman_lora.yaml (LoRA under ZeRO-3)", seconds)
    seconds = runner.run("merge", merge_persona(base, adapter, merged))
    done("lf-registry merge recipes/merge/ironman.yaml", seconds)

    asked = questions(root)
    console.print("\nThree questions, asked with plain Transformers and each folder's own chat template:\n")
    for question, before, after in zip(asked, answer(base, asked), answer(merged, asked), strict=True):
        console.print(Text(f"Q       {question}", style="bold"))
        console.print(Text(f"before  {shorten(before)}"), Text(f"after   {shorten(after)}\n"), sep="\n")
    console.print(
        "The tiny model proves that the pipeline works and nothing else: these questions are among the "
        f"{SAMPLES} examples it learned by heart.\nFor a persona worth talking to, train the real model on a GPU: "
        "llamafactory-cli train recipes/ironman_lora.yaml"
    )
    shown = out.relative_to(Path.cwd()) if out.is_relative_to(Path.cwd()) else out
    console.print(
        f"\nWritten: {shown}/base (before), {shown}/adapter (LoRA, loss plots), {shown}/merged (after), {shown}/logs"
    )
    console.print(f"Took {time.monotonic() - started:.0f} s.")


def main() -> None:
    """Entry point of ``python -m lf_registry.tiny.demo``."""
    root = base_root().path
    try:
        run(root, root / "outputs" / "demo", Console(width=None if sys.stdout.isatty() else 120))
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; run it again to start over")


if __name__ == "__main__":
    main()
