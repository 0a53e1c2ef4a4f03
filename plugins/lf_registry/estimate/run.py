"""One estimate: everything that is known about a recipe on some GPUs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..recipes import Recipe
from .configs import load_shape
from .cost import Cost, estimate_cost
from .disk import Disk, estimate_disk
from .gpus import COUNTS, Gpu
from .memory import GIB, Memory, estimate_memory
from .notes import notes_for
from .setup import Setup, read_setup
from .shapes import Shape
from .suggest import Suggestion, fits, is_tight, other_gpus, suggest
from .tokens import DatasetTokens, tokens_of


@dataclass(frozen=True)
class Subject:
    """A recipe with everything that does not depend on the GPUs."""

    recipe: Recipe
    setup: Setup
    shape: Shape
    tokens: DatasetTokens


@dataclass(frozen=True)
class Row:
    """A recipe on some GPUs: one row of the table."""

    gpus: int
    gpu: Gpu
    memory: Memory
    cost: Cost | None
    fits: bool
    why_not: str

    @property
    def tight(self) -> bool:
        """Whether it fits with next to nothing left."""
        return self.fits and is_tight(self.memory, self.gpu)

    @property
    def dollars(self) -> float:
        """For sorting: GPUs without a price come last."""
        return self.cost.dollars if self.cost and self.cost.dollars is not None else float("inf")


@dataclass(frozen=True)
class Result:
    """What is printed for one choice of GPUs."""

    row: Row
    disk: Disk
    suggestion: Suggestion | None = None
    elsewhere: tuple[int, Gpu, bool] | None = None
    notes: list[str] = field(default_factory=list)


def read_subject(recipe: Recipe, tokens: int | None = None, check: Path | None = None) -> Subject:
    """Read everything that a recipe names. Raises: UserError: with all problems of the step that found some."""
    if recipe.values.get("do_train") is not True:
        raise UserError(
            f"{recipe.path}: do_train is not true, so this recipe trains nothing that could be estimated",
            hint="name a training recipe: lf-registry list recipes",
        )
    setup = read_setup(recipe)
    values = recipe.values
    shape = load_shape(setup.model, revision=values.get("model_revision"), cache_dir=values.get("cache_dir"))
    estimate_memory(shape, setup)  # for its errors: modules that the model does not have
    return Subject(recipe, setup, shape, tokens_of(recipe, tokens=tokens, check=check))


def row_of(subject: Subject, gpus: int, gpu: Gpu) -> Row:
    """Estimate one choice of GPUs."""
    memory = estimate_memory(subject.shape, subject.setup, gpus, subject.tokens.longest)
    cost = estimate_cost(subject.shape, subject.setup, subject.tokens, gpus, gpu)
    good = fits(memory, subject.setup, gpu)
    why = "" if good else "no bf16" if not gpu.bf16 and subject.setup.precision == "bf16" else "does not fit"
    return Row(gpus, gpu, memory, cost, good, why)


def all_rows(subject: Subject, known: dict[str, Gpu]) -> list[Row]:
    """Every type and count, those that fit first, cheapest first; without prices fewest and smallest GPUs first."""
    rows = [row_of(subject, count, gpu) for gpu in known.values() for count in COUNTS]
    return sorted(rows, key=lambda row: (not row.fits, row.dollars, row.gpus, row.gpu.memory_gib, row.gpu.name))


def result_of(subject: Subject, row: Row, known: dict[str, Gpu]) -> Result:
    """Add disk, the change that makes it fit, and notes."""
    setup, shape, longest = subject.setup, subject.shape, subject.tokens.longest
    change = None if row.fits else suggest(shape, subject.recipe, setup, row.gpus, row.gpu, longest)
    elsewhere = None if row.fits else other_gpus(shape, setup, known, longest, 1)
    disk = estimate_disk(shape, setup, row.cost)
    return Result(row, disk, change, elsewhere, notes_for(shape, setup, row.memory, row.gpus))


def as_json(subject: Subject, result: Result | None, rows: list[Row]) -> dict[str, Any]:
    """The estimate as plain data; sizes in bytes, times in hours."""
    tokens = subject.tokens
    plain: dict[str, Any] = {
        "recipe": str(subject.recipe.path),
        "model": subject.setup.model,
        "parameters": subject.shape.parameters,
        "dataset": {
            "rows": len(tokens.lengths),
            "tokens_per_epoch": tokens.tokens,
            "eval_rows": len(tokens.eval_lengths),
            "exact": tokens.exact,
            "source": tokens.source,
            "notes": tokens.notes,
        },
    }
    if result:
        plain["estimate"] = _row_json(result.row) | {
            "disk": asdict(result.disk) | {"total": result.disk.total},
            "suggestion": list(result.suggestion.overrides) if result.suggestion else None,
            "fits_unchanged_on": f"{result.elsewhere[0]}x{result.elsewhere[1].name}" if result.elsewhere else None,
            "notes": result.notes,
        }
    if rows:
        plain["rows"] = [_row_json(row) for row in rows]
    return plain


def _row_json(row: Row) -> dict[str, Any]:
    memory = row.memory
    return {
        "gpus": f"{row.gpus}x{row.gpu.name}",
        "fits": row.fits,
        "tight": row.tight,
        "why_not": row.why_not or None,
        "memory_bytes": round(memory.total),
        "gpu_memory_bytes": round(row.gpu.memory_gib * GIB),
        "fullest_moment": memory.moment,
        "parts_bytes": {name: round(size) for name, size in memory.parts.items()},
        "host_memory_bytes": round(memory.host),
        "trainable_parameters": memory.trainable,
        "longest_sequence": memory.length,
        "cost": asdict(row.cost) | {"hours": row.cost.hours, "prices_as_of": row.gpu.as_of} if row.cost else None,
    }
