"""Why a job failed, kept where it can be read after the pod has stopped itself."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError
from ..secret_text import hide_in_text
from .log import Log
from .notes import LOG_LOST, LOSE_CONTAINER, VARIABLE, Notes
from .places import WORKSPACE, find_volume
from .request import Request

#: On the volume: what kept a job from beginning, before it had a folder and a log of its own.
REASONS = "job.sh.log"


def keep_log(log: Log, request: Request, notes: Notes, *, asked: bool) -> None:
    """Upload the log of a failure when the pod is about to stop and its disk, the log with it, to go.

    Without a volume, a job that stops its pod publishes (``refuse_loss``): a token and a name are there.

    Args:
        log: of the job.
        request: what was asked for.
        notes: they say whether the log would be lost, and whether the pod stays all the same.
        asked: the job was interrupted, so the pod stays.
    """
    stays = asked or notes.has(LOSE_CONTAINER)
    if stays or request.publish is None or not (request.stop or request.terminate) or not notes.has(LOG_LOST):
        return
    from ..publish.job_log import keep_log as upload

    try:
        where = upload(log.path, request.publish)
    except Exception as error:  # whatever it is: the pod is to be stopped, and job.sh says that the log is lost
        lines = str(error.problems[0] if isinstance(error, UserError) else error).splitlines() or [repr(error)]
        log.say(f"warning: the log could not be uploaded: {hide_in_text(lines[0])}")
        return
    notes.clear(LOG_LOST)
    log.say(f"the log is uploaded, because its disk goes with the pod: {where} (private)")


def keep_reason(
    error: UserError, request: Request, environment: Mapping[str, str], workspace: Path = WORKSPACE
) -> None:
    """Write why a job did not begin onto the pod's volume, when the pod is to stop: its terminal goes with it.

    job.sh learns of the file, and adds what it does with the pod.
    """
    folder = environment.get(VARIABLE)
    if not folder or not (request.stop or request.terminate):
        return
    try:
        volume = find_volume(environment, request.volume, workspace=workspace).path
        if volume is None:
            return
        path = (volume / REASONS).absolute()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        text = f"[{stamp}Z] job: job.sh {shlex.join(request.words)}\n[{stamp}Z] job: error: {error}\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(hide_in_text(text))
        (Path(folder) / "log").write_text(f"{path}\n", encoding="utf-8")
    except (UserError, OSError):
        return  # the volume itself may be what is wrong; the terminal says it
