"""A whole job: look at the machine, run the stages, say what came out and what to do next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError
from ..recipes import read_recipe
from ..resume.choose import Run, choose
from ..resume.lock import lock
from ..resume.look import checkpoints, look
from .cost import Price, duration
from .log import Log
from .machine import Gpus, find_gpus, set_up_nccl
from .notes import LOSE_CONTAINER, LOSE_VOLUME, SAFE, Notes
from .places import Surroundings, Volume, find_volume, surround
from .plan import Plan, is_local, make_plan, working_folder
from .process import Stopper
from .request import Request, check_request
from .room import Forecast, check_room, forecast, remarks
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
            from dataclasses import replace

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
        notes.set("log-lost", "the log is on the container disk")
    if volume.network and not loses:
        notes.set(SAFE, f"on the network volume {volume.path}")
    stopper = Stopper()
    with stopper.listening():
        log.say(f"job.sh {shlex.join(_words(request))}")
        log.say(f"working in {Path.cwd()}, log {log.path.absolute()}")
        try:
            state = State(plan.folder / "state.json")
            around = surround(environment, volume)
            plan, price = _look(request, plan, volume, around, log)
            job = Job(plan, request, state, log, around.environment, price, stopper, notes)
            job.work(loses)
        except Failed as failed:
            if failed.code == 75 and stopper.asked:
                notes.set("stopped", "asked")
            _say_end(log, plan, request, state, [f"{failed.stage} is not done", f"next: {failed.next}"])
            return failed.code
        except UserError as error:
            log.say(f"error: {error}")
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


def _look(request: Request, plan: Plan, volume: Volume, around: Surroundings, log: Log) -> tuple[Plan, Price]:
    """Look at the machine before anything is paid for; all problems at once.

    Raises:
        UserError: something would break the run.
    """
    if volume.path is not None:
        kind = "a network volume: it outlives the pod" if volume.network else "it outlives a stop of the pod"
        log.say(f"volume {volume.path} ({volume.why}; {kind})")
    elif around.environment.get("RUNPOD_POD_ID"):
        log.say("warning: no volume is mounted at /workspace: everything on this pod is lost when it stops")
    problems: list[str] = []
    gpus = Gpus()
    try:
        gpus = find_gpus(around.environment)
    except UserError as error:
        problems += _told(error)
    overrides = set_up_nccl(gpus, around)
    plan = _with(plan, [text for text in overrides if plan.recipe.values.get(text.partition("=")[0], 0)])
    log.say(f"{gpus}" + ("" if gpus.names else ": training runs on the CPU"))
    problems += _checkpoint_problems(plan, gpus, around.environment)
    if request.publish:
        problems += _token_problems(around.environment)
        if is_local(model := plan.recipe.values.get("model_name_or_path")):
            log.say(
                f"warning: --publish: {model} is a folder of this machine, so the card cannot name the base model; write "
                f"`base_model: OWNER/NAME` into the metadata of {plan.result}/README.md before it is published"
            )
    seen: Forecast | None = None
    try:
        seen = forecast(plan, gpus)
    except UserError as error:
        log.say(f"warning: disk and time are not estimated: {error.problems[0]}")
    price = _price(request, seen)
    for line in (*plan.notes, *around.said, str(price)):
        log.say(line)
    if seen is not None:
        for line in remarks(plan, seen, gpus):
            log.say(line)
        try:
            for line in _room(request, plan, seen, volume, around):
                log.say(f"disk: {line}")
        except UserError as error:
            problems += _told(error)
    if problems:
        raise UserError(problems)
    return plan, price


def _room(request: Request, plan: Plan, seen: Forecast, volume: Volume, around: Surroundings) -> list[str]:
    """Check the disks; the download goes beside the volume when it is what does not fit there.

    Raises:
        UserError: see ``check_room``.
    """
    try:
        return check_room(plan, seen, volume, around.environment, request.volume_size)
    except UserError:
        if not around.moved:
            raise
        outside = {name: value for name, value in around.environment.items() if name != "HF_HOME"}
        try:
            lines = check_room(plan, seen, volume, outside, request.volume_size)
        except UserError:
            lines = []
        if not lines:
            raise
        del around.environment["HF_HOME"]
        return ["HF_HOME stays on the container disk, because the model does not fit on the volume too", *lines]


def _told(error: UserError) -> list[str]:
    return [*error.problems[:-1], error.problems[-1] + (f"; next: {error.hint}" if error.hint else "")]


def _with(plan: Plan, overrides: list[str]) -> Plan:
    from dataclasses import replace

    if not overrides:
        return plan
    return replace(plan, recipe=read_recipe(plan.recipe.path, [*plan.recipe.overrides, *overrides]))


def _price(request: Request, seen: Forecast | None) -> Price:
    if request.price is not None:
        return Price(request.price, "--price")
    if seen is not None and seen.gpu is not None and seen.dollars is not None:
        return Price(seen.dollars, f"{seen.count}x {seen.gpu.name}, listed {seen.gpu.as_of}; --price says it better")
    return Price()


def _checkpoint_problems(plan: Plan, gpus: Gpus, environment: Mapping[str, str]) -> list[str]:
    """What the training would refuse after a minute of loading: checkpoints of another number of GPUs."""
    if plan.recipe.values.get("overwrite_output_dir") is True or plan.recipe.values.get("resume_from_checkpoint"):
        return []
    processes = environment.get("NPROC_PER_NODE", "")
    values = plan.recipe.values
    run = Run(
        str(plan.output),
        world_size=int(processes) if processes.isdigit() else max(1, len(gpus.names)),
        deepspeed=bool(values.get("deepspeed")),
        save_only_model=values.get("save_only_model") is True,
        lora=values.get("finetuning_type", "lora") in ("lora", "oft"),
    )
    try:
        choose([{path.name: look(path) for path in checkpoints(plan.output)}], run)
    except UserError as error:
        return _told(error)
    return []


def _token_problems(environment: Mapping[str, str]) -> list[str]:
    """A token that is missing or cannot write, before hours of training."""
    places = [environment.get("HF_TOKEN_PATH")]
    home = environment.get("HF_HOME") or f"{environment.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    places.append(f"{home}/token")
    stored = next((path for text in places if text and (path := Path(text).expanduser()).is_file()), None)
    if environment.get("HF_TOKEN") or environment.get("HUGGING_FACE_HUB_TOKEN") or stored:
        return []
    return [
        "--publish: there is no Hugging Face token here, so hours of training would end in an error; next: hf auth "
        "login (a token that may write), or set HF_TOKEN in the pod's settings"
    ]


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
