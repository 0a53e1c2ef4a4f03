"""When a stage is done already, when it must not be repeated, and what is looked at when its command has ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..recipes import names
from ..resume.look import STATE, checkpoints
from .fingerprint import broken_files, differences, result_of, source_of
from .plan import Plan
from .request import Request
from .state import Stage, State

_REPORT = "merge_report.json"


def sources(plan: Plan, request: Request, state: State) -> dict[str, dict[str, str]]:
    """What each stage is made from, as far as it is known now: the result of the one before is part of it."""
    recipe, everything = source_of(plan.recipe), source_of(plan.recipe, frozenset())
    trained = {f"trained {name}": digest for name, digest in state["train"].result.items()}
    found = {"check": everything, "train": recipe}
    last = trained
    if plan.merge is not None:
        keys = {f"merge {key}": str(value) for key, value in plan.merge.values.items()}
        found["merge"] = keys | trained
        last = {f"merged {name}": digest for name, digest in state["merge"].result.items()}
    if request.publish:
        found["publish"] = {"repository": request.publish, "public": str(request.public)} | last
    return found


def is_done(name: str, state: State, source: dict[str, str], folder: Path | None) -> bool:
    """Whether a stage was finished from the same source, and its result is still there, unchanged.

    Args:
        name: of the stage.
        state: of the job.
        source: what it would be made from now.
        folder: where its result is; None for a stage that leaves none.
    """
    stage = state[name]
    return bool(stage.finished) and stage.source == source and (folder is None or result_of(folder) == stage.result)


def refuse_other_training(plan: Plan, state: State, source: dict[str, str], *, accept: bool) -> list[str]:
    """Refuse to go on with another recipe, or in a folder that something else trained into.

    LLaMA-Factory would resume from the checkpoint with the new values, and the result would be neither.

    Returns:
        What was accepted, one sentence each.

    Raises:
        UserError: says what differs, and the ways out.
    """
    there = result_of(plan.output) or checkpoints(plan.output)
    before = state["train"].source
    if not there or before == source or plan.recipe.values.get("overwrite_output_dir") is True:
        return []
    if not before:
        problem = (
            f"{plan.output} holds a training that this job did not begin, so it is not known what it was made from"
        )
    else:
        changed = differences(before, source)
        problem = f"{plan.output} was trained with other values: {'; '.join(changed)}"
    if accept:
        return [f"{problem}; accepted (--accept-changes)"]
    raise UserError(
        problem,
        hint=f"output_dir={plan.output}-2 for a new training, overwrite_output_dir=true to start over, or "
        "--accept-changes to go on from what is there",
    )


def trained(plan: Plan) -> bool:
    """Whether the training wrote everything, though its end was not noted: it stopped between the two.

    LLaMA-Factory writes the weights, then ``trainer_state.json`` beside them, then evaluates and writes
    ``all_results.json`` (with ``do_train`` alone it is written before).
    """
    state, results = _json(plan.output / STATE), _json(plan.output / "all_results.json")
    step, most = state.get("global_step"), state.get("max_steps")
    if not isinstance(step, int) or not isinstance(most, int) or step < most or "train_loss" not in results:
        return False
    if plan.recipe.values.get("do_eval") is True and "eval_loss" not in results:
        return False
    if plan.recipe.values.get("do_predict") is True:
        return False
    newest = next(iter(checkpoints(plan.output)), None)
    if newest is not None and (plan.output / STATE).stat().st_mtime + 1 < newest.stat().st_mtime:
        return False  # it was trained again since
    return bool(result_of(plan.output)) and not broken_files(plan.output)


def check_trained(plan: Plan) -> dict[str, str]:
    """Look at what a training that ended well has left.

    Raises:
        UserError: there are no weights, or they are cut off.
    """
    found, broken = result_of(plan.output), broken_files(plan.output)
    if not found or broken:
        what = "; ".join(broken) if broken else "no weights are in it"
        raise UserError(f"{plan.output}: the training ended, but {what}", hint="run the same command again")
    return found


def merged(plan: Plan, stage: Stage) -> bool:
    """Whether the merged model was put in place, though its end was not noted."""
    if plan.merge is None or plan.merged is None or not stage.attempts or stage.finished:
        return False
    report = _json(plan.merged / _REPORT)
    adapters = names(plan.merge.values.get("adapter_name_or_path"))
    weights = [path.stat().st_mtime for path in plan.output.glob("adapter_model.*")]
    return (
        report.get("adapters") == adapters
        and report.get("base") == plan.merge.values.get("model_name_or_path")
        and report.get("template") == plan.merge.values.get("template")
        and report.get("verified") not in (None, "none")
        and (plan.merged / _REPORT).stat().st_mtime > max(weights, default=0)
        and bool(result_of(plan.merged))
        and not broken_files(plan.merged)
    )


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint; 0: there is none."""
    return max((int(path.name.rpartition("-")[2]) for path in checkpoints(folder)), default=0)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
