"""A whole job: look at the machine, run the stages, say what came out and what to do next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import UserError
from ..resume.lock import lock
from .cost import duration
from .keep import keep_log, keep_reason
from .log import Log
from .look_around import look_around
from .notes import LOG_LOST, LOSE_CONTAINER, LOSE_VOLUME, SAFE, Notes
from .places import Volume, find_volume, surround
from .plan import Plan, make_plan, working_folder
from .process import Stopper
from .request import Request, check_request
from .state import STAGES, Stage, State
from .work import Failed, Job


def run_job(request: Request, environment: Mapping[str, str]) -> int:
    """Run a job.

    Returns:
        The exit code: 0 all is done, 1 a stage failed, 75 it was asked to stop and goes on when it is run again.

    Raises:
        WrongUsage: the command line cannot be meant.
        UserError: something is wrong before there is a log.
    """
    try:
        request, plan, volume, loses = _prepare(request, environment)
    except UserError as error:
        keep_reason(error, request, environment)
        raise
    log = Log(plan.folder / "job.log")
    notes = Notes(environment, plan.output)
    notes.set("log", str(log.path.absolute()))
    if environment.get("RUNPOD_POD_ID") and not volume.holds(log.path):
        notes.set(LOG_LOST, "the log is on the container disk")
    if volume.network and not loses:
        notes.set(SAFE, f"on the network volume {volume.path}")
    stopper = Stopper()
    with stopper.listening():
        log.say(f"job.sh {shlex.join(request.words)}")
        log.say(f"working in {Path.cwd()}, log {log.path.absolute()}")
        try:
            state = State(plan.folder / "state.json")
            around = surround(environment, volume)
            plan, price = look_around(request, plan, volume, around, log)
            job = Job(plan, request, state, log, around.environment, price, stopper, notes)
            job.work(loses)
        except Failed as failed:
            if failed.code == 75 and stopper.asked:
                notes.set("stopped", "asked")
            _say_end(log, plan, request, state, [f"{failed.stage} is not done", f"next: {failed.next}"])
            keep_log(log, request, notes, asked=bool(stopper.asked))
            return failed.code
        except UserError as error:
            log.say(f"error: {error}")
            keep_log(log, request, notes, asked=bool(stopper.asked))
            return error.exit_code
    if not job.worked:
        notes.set("idle", "every stage was done before")
    _say_end(log, plan, request, state, _done(plan, request))
    return 0


def _prepare(request: Request, environment: Mapping[str, str]) -> tuple[Request, Plan, Volume, dict[str, str]]:
    """What is done before there is a log; returns the request as it is meant here, and what ``refuse_loss`` found."""
    check_request(request, environment)
    here, folder = Path.cwd(), working_folder(request.recipe)
    if folder != here:
        merge = request.merge and str(here / request.merge)
        if merge and Path(merge).is_file():
            request = replace(request, merge=merge)
        os.chdir(folder)
    volume = find_volume(environment, request.volume, network=request.network_volume)
    plan = make_plan(request, volume)
    loses = refuse_loss(request, plan, volume, environment)
    plan.folder.mkdir(parents=True, exist_ok=True)
    lock(plan.folder, patience=2.0)
    return request, plan, volume, loses


def refuse_loss(request: Request, plan: Plan, volume: Volume, environment: Mapping[str, str]) -> dict[str, str]:
    """What a stop and a termination of the pod would lose until it is published: note -> sentence.

    Raises:
        UserError: the pod is to be stopped or deleted, and nothing that is asked for would save the result before.
    """
    if not environment.get("RUNPOD_POD_ID"):
        return {}
    loses, problems = {}, []
    outside = [path for path in (plan.output, plan.merged) if path is not None and not volume.holds(path)]
    if outside:
        where = ", ".join(str(path) for path in outside)
        loses[LOSE_CONTAINER] = f"{where} is on the container disk, which is lost when the pod stops"
    if outside or not volume.network:
        loses[LOSE_VOLUME] = loses.get(LOSE_CONTAINER) or (
            f"{plan.result} is on {volume.path}, which a termination deletes unless it is a network volume"
        )
    end = LOSE_CONTAINER if request.stop else LOSE_VOLUME if request.terminate else ""
    if end in loses and not request.publish:
        word = "stop" if request.stop else "terminate"
        problems.append(f"--{word} would delete what was trained: {loses[end]}, and it is not published")
        raise UserError(
            problems,
            hint="add --publish REPO_ID, attach a network volume, or leave --"
            + word
            + " out"
            + ("" if outside else " (--network-volume says that it is one)"),
        )
    return loses


def _say_end(log: Log, plan: Plan, request: Request, state: State, lines: list[str]) -> None:
    """The table of stages, and what to do next."""
    wanted = {"check", "train"} | ({"merge"} if plan.merge else set()) | ({"publish"} if request.publish else set())
    total = Stage()
    for name in [name for name in STAGES if name in wanted]:
        stage = state[name]
        total.seconds += stage.seconds
        total.dollars += stage.dollars
        total.unpriced += stage.unpriced
        done = "done" if stage.finished else "not done"
        tries = f", {stage.attempts} attempts" if stage.attempts > 1 else ""
        log.say(f"  {name:8}  {done:8}  {duration(stage.seconds)}, {stage.cost}{tries}")
    log.say(f"  together            {duration(total.seconds)}, {total.cost}; starts, pauses and storage not counted")
    for line in lines:
        log.say(line)


def _done(plan: Plan, request: Request) -> list[str]:
    if request.publish:
        return [f"done: {plan.result} is published as {request.publish}, verified"]
    target = shlex.quote(str(plan.result))
    return [f"done: {plan.result}", f"next: lf-registry publish {target} REPO_ID"]
