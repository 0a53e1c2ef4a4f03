"""The table of the pod guide: which pod for which recipe, by `lf-registry estimate`."""

from __future__ import annotations

import math
from pathlib import Path

from lf_registry.estimate.gpu_names import parse_gpus
from lf_registry.estimate.gpus import load_gpus
from lf_registry.estimate.run import read_subject, result_of, row_of
from lf_registry.recipes import read_recipe

#: Pod, recipe and changes, in the order of the table.
ROWS = (
    ("1xRTX-4090", "ironman_qlora", ()),
    ("1xL40S", "ironman_lora", ()),
    ("2xA100-80GB", "ironman_lora", ()),
    ("1xL40S", "ironman_qwen2_lora", ()),
    ("1xRTX-4090", "kanana_ironman_lora", ()),
    ("1xL40S", "kanana_qa_full", ("deepspeed=recipes/deepspeed/ds_z3.json",)),
)
#: GB beside what the estimate counts: this project's environment (6 GB), logs, caches, room to work.
BESIDE = 15
BEGIN, END = "<!-- estimate -->", "<!-- end -->"


def table(header: str) -> str:
    """The table below a header of seven columns."""
    known = load_gpus(None)
    lines = [header, "|---|---|---|---|---|---|---|"]
    for pod, name, changes in ROWS:
        count, gpu = parse_gpus(pod, known)
        subject = read_subject(read_recipe(Path(f"recipes/{name}.yaml"), changes))
        result = result_of(subject, row_of(subject, count, gpu), known)
        row, disk = result.row, result.disk
        assert row.fits, f"{name} does not fit on {pod}"
        volume = math.ceil((disk.total / 1e9 + BESIDE) / 10) * 10
        minutes = math.ceil(row.cost.hours * 60)
        command = " ".join((f"`{name}.yaml`", *(f"`{change}`" for change in changes)))
        memory = f"{row.memory.total / 2**30:.0f} of {gpu.memory_gib:.0f} GiB"
        lines.append(
            f"| {command} | {count}x {gpu.name} | {memory} | {volume} GB "
            f"| {minutes} min | ${count * gpu.dollars:.2f} | ${row.cost.dollars:.2f} |"
        )
    return "\n".join(lines)
