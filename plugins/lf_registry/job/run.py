"""A whole job: look at the machine, run the stages, say what came out and what to do next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import UserError
from ..resume.lock import lock
from ..secret_text import hide_in_text
from .cost import duration
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
    log = Log(plan.folder / "job.log")
    notes = Notes(environment, plan.output)
    notes.set("log", str(log.path.absolute()))
    if environment.get("RUNPOD_POD_ID") and not volume.holds(log.path):
        notes.set(LOG_LOST, "the log is on the container disk")
    if volume.network and not loses:
        notes.set(SAFE, f"on the network volume {volume.path}")
    stopper = Stopper()
    with stopper.listening():
        log.say(f"job.sh {shlex.join(_words(request))}")
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
            _keep_log(log, request, notes, stopper)
            return failed.code
        except UserError as error:
            log.say(f"error: {error}")
            _keep_log(log, request, notes, stopper)
            return error.exit_code
    if not job.worked:
        notes.set("idle", "every stage was done before")
    _say_end(log, plan, request, state, _done(plan, request))
    return 0


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


def _keep_log(log: Log, request: Request, notes: Notes, stopper: Stopper) -> None:
    """Upload the log of a failure when the pod is about to stop and its disk, the log with it, to go.

    Without a volume, a job that stops its pod publishes (``refuse_loss``): a token and a name are there.
    """
    stays = stopper.asked or notes.has(LOSE_CONTAINER)
    if stays or request.publish is None or not (request.stop or request.terminate) or not notes.has(LOG_LOST):
        return
    from ..publish.job_log import keep_log

    try:
        where = keep_log(log.path, request.publish)
    except Exception as error:  # whatever it is: the pod is to be stopped, and job.sh says that the log is lost
        lines = str(error.problems[0] if isinstance(error, UserError) else error).splitlines() or [repr(error)]
        log.say(f"warning: the log could not be uploaded: {hide_in_text(lines[0])}")
        return
    notes.clear(LOG_LOST)
    log.say(f"the log is uploaded, because its disk goes with the pod: {where} (private)")


def _words(request: Request) -> list[str]:
    words = [request.recipe, *request.overrides]
    words += ["--merge", request.merge] if request.merge else []
    words += ["--publish", request.publish] if request.publish else []
    words += ["--license", request.license] if request.license else []
    flags = ("public", "stop", "terminate", "accept_changes", "network_volume")
    return words + [f"--{name.replace('_', '-')}" for name in flags if getattr(request, name)]


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
