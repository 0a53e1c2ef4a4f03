"""Looking at the machine before a job begins: GPUs, checkpoints, token, disks; all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import UserError
from ..recipes import read_recipe
from ..resume.choose import Run, choose
from ..resume.look import checkpoints, look
from .cost import Price
from .log import Log
from .machine import Gpus, find_gpus, set_up_nccl
from .places import Surroundings, Volume
from .plan import Plan, is_local
from .request import Request
from .room import Forecast, check_room, forecast, remarks


def look_around(request: Request, plan: Plan, volume: Volume, around: Surroundings, log: Log) -> tuple[Plan, Price]:
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
                f"warning: --publish: {model} is a folder of this machine, so the card cannot name the base model; "
                f"write `base_model: OWNER/NAME` into the metadata of {plan.result}/README.md before it is published"
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
