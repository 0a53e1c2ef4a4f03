"""The estimate as text."""

from __future__ import annotations

from ..peft_methods.settings import read_settings
from .cost import Cost
from .memory import GIB
from .run import Result, Row, Subject
from .setup import Setup
from .suggest import Suggestion, effects, is_tight

_GB = 1e9
#: Longer lines are hard to read, however wide the terminal is.
_WIDEST = 100


def subject_lines(subject: Subject) -> list[str]:
    """What is trained on what."""
    setup, shape, tokens = subject.setup, subject.shape, subject.tokens
    method = method_name(setup)
    if setup.quantization_bit:
        method = f"{method} on {setup.quantization_bit}-bit weights"
    zero = f", ZeRO-{setup.zero.stage}" if setup.zero else ""
    if setup.zero and (setup.zero.offload_optimizer or setup.zero.offload_parameters):
        zero += " with offload"
    lines = [
        f"{subject.recipe.path}: {setup.model}, {shape.parameters / _GB:.2f} billion parameters",
        f"  {method}{zero}, {setup.precision}, micro-batch {setup.batch} x {setup.accumulation}, "
        f"cutoff_len {setup.cutoff}, {setup.attention} attention, "
        f"gradient checkpointing {'on' if setup.checkpointing else 'off'}",
    ]
    if tokens.lengths:
        held = f", {len(tokens.eval_lengths)} held-out" if tokens.eval_lengths else ""
        lines.append(
            f"  {len(tokens.lengths)} rows{held}, {tokens.tokens:,} tokens an epoch: {tokens.source}"
            + ("" if tokens.exact else "; exact with --check, from `lf-registry check RECIPE --json`")
        )
    return lines + [f"  note: {note}" for note in tokens.notes]


def method_name(setup: Setup) -> str:
    """What is trained, as people write it; a method of PEFT by PEFT's name."""
    peft = setup.values.get("peft")
    method = setup.method if peft is None else read_settings(peft).method.name
    return {"lora": "LoRA", "oft": "OFT"}.get(method, method)


def result_lines(result: Result, subject: Subject) -> list[str]:
    """One choice of GPUs: memory with its parts, time, money, disk, and what to change."""
    row = result.row
    memory, room = row.memory, row.gpu.memory_gib
    tight = " (tight: try it before you count on it)" if row.tight else ""
    verdict = (
        f"fits{tight}" if row.fits else f"DOES NOT FIT ({row.why_not})" if row.why_not == "no bf16" else "DOES NOT FIT"
    )
    lines = [
        "",
        f"{row.gpus}x {row.gpu.name}: {verdict}: {memory.total / GIB:.1f} of {room:.1f} GiB a GPU, "
        f"fullest at the {memory.moment.removeprefix('the ')}",
    ]
    width = max(len(name) for name in memory.parts)
    for name, size in memory.parts.items():
        if size >= 0.005 * GIB:
            lines.append(f"  {name:<{width}}  {size / GIB:6.2f} GiB  {size / memory.total:4.0%}")
    known = f"a longest sequence of {memory.length} tokens" + ("" if subject.tokens.longest else " (cutoff_len)")
    lines.append(f"  {memory.trainable:,} trained parameters; {known}")
    lines += _cost_lines(row.cost, row) + _disk_lines(result)
    if not row.fits:
        lines += ["", *_change_lines(result.suggestion, result, subject)]
    return lines + [f"note: {note}" for note in result.notes]


def _cost_lines(cost: Cost | None, row: Row) -> list[str]:
    if cost is None:
        return ["  time and cost: unknown without the dataset's rows and tokens"]
    price = "no price known for this GPU; --prices FILE"
    if cost.dollars is not None:
        price = (
            f"${cost.dollars:.2f} at ${row.gpu.dollars:.2f} a GPU hour (as of {row.gpu.as_of}, check before you rent)"
        )
    return [
        f"  time: {_hours(cost.hours)} without download and start, {cost.steps} steps "
        f"({cost.steps_per_epoch} an epoch), evaluation {_hours(cost.eval_hours)}, "
        f"{max(cost.padding, 0):.0%} of the tokens padding; "
        f"assumes {cost.utilization:.0%} of {row.gpu.tflops:g} TFLOPS",
        f"  cost: {price}",
    ]


def _hours(hours: float) -> str:
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.1f} h"


def _disk_lines(result: Result) -> list[str]:
    disk = result.disk
    kept = "checkpoint" if disk.kept == 1 else "checkpoints"
    merged = f", merged model {disk.merged / _GB:.1f}" if disk.merged else ""
    return [
        f"  disk: {disk.total / _GB:.1f} GB: download {disk.download / _GB:.1f}, {disk.kept} {kept} of "
        f"{disk.checkpoint / _GB:.1f}, output {disk.output / _GB:.1f}{merged}"
    ]


def _change_lines(suggestion: Suggestion | None, result: Result, subject: Subject) -> list[str]:
    lines = []
    if suggestion:
        gib = suggestion.memory.total / GIB
        host = f", and {suggestion.memory.host / GIB:.0f} GiB of main memory" if suggestion.memory.host else ""
        tight = ", tight" if is_tight(suggestion.memory, result.row.gpu) else ""
        lines.append(f"it fits with ({gib:.1f} GiB a GPU{host}{tight}):")
        lines.append(f"  {subject.recipe.train_command(*suggestion.overrides)}")
        lines += [f"  {text}" for text in effects(suggestion.overrides)]
    else:
        lines.append("no change of the recipe that was tried makes it fit on this GPU")
    if result.elsewhere:
        count, gpu, close = result.elsewhere
        how = "tight everywhere, the cheapest an hour" if close else "the cheapest an hour that is not tight"
        lines.append(f"unchanged it fits on {count}x{gpu.name}, {how} (as of {gpu.as_of})")
    return lines


def print_table(rows: list[Row]) -> None:
    """Print the table of all GPUs."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("GPUs", "GiB a GPU", "of", "hours", "dollars", ""):
        table.add_column(heading, justify="left" if heading in ("GPUs", "") else "right")
    for row in rows:
        cost = row.cost
        table.add_row(
            f"{row.gpus}x{row.gpu.name}",
            f"{row.memory.total / GIB:.1f}",
            f"{row.gpu.memory_gib:.1f}",
            f"{cost.hours:.2f}" if cost else "-",
            f"{cost.dollars:.2f}" if cost and cost.dollars is not None else "-",
            row.why_not or ("fits, tight" if row.tight else "fits"),
        )
    console = Console(soft_wrap=True, highlight=False)
    console.width = max(console.width, 80)  # a figure that is cut is worse than a line that wraps
    console.print(table)
    print_lines([_legend(rows)])


def _legend(rows: list[Row]) -> str:
    """What the table's prices are, and what its dashes mean."""
    if any(row.cost is None for row in rows):  # which does not depend on the GPU
        return "- : the number of rows is not known, so there is no time and no price; the fewest GPUs come first"
    dates = sorted({row.gpu.as_of for row in rows if row.gpu.dollars is not None})
    parts = [f"prices as of {', '.join(dates)}, on demand, check before you rent"] if dates else []
    if any(row.gpu.dollars is None for row in rows):
        parts.append("- : no price known, give --prices FILE")
    return "; ".join(parts)


def print_lines(lines: list[str]) -> None:
    """Print lines, wrapped at words to the terminal's width (80 in a pipe); a command stays in one piece."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    width = min(console.width, _WIDEST)
    for line in lines:
        start = len(line) - len(line.lstrip())
        if "llamafactory-cli " in line or not line:
            print(line)
            continue
        first, *more = Text(line, overflow="fold").wrap(console, width)
        print(first.plain.rstrip())
        indent = " " * (start + 2)
        rest = Text(line[len(first.plain) :].lstrip(), overflow="fold")
        for part in rest.wrap(console, max(width - len(indent), 10)) if more else ():
            print(f"{indent}{part.plain.rstrip()}")
