"""Imports LLaMA-Factory once and forks the processes of a training from there: a start costs a second instead of ten.

Reads one JSON line for each run: ``{"arguments": [...], "world": 2, "port": ..., "log": "file", "environment": {}}``.
Prints the process group that the run is in, and, when all its processes have ended, their exit codes.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback


def work(run: dict, rank: int) -> int:
    log = os.open(run["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    world = str(run["world"])
    os.environ.update(
        run["environment"],
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=world,
        LOCAL_WORLD_SIZE=world,
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(run["port"]),
    )
    sys.argv = ["launcher.py", *run["arguments"]]
    try:
        tuner.run_exp()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        if isinstance(sys.exc_info()[1], UserError):
            print(f"error: {sys.exc_info()[1]}")
        else:
            traceback.print_exc()
        return 1
    return 0


def serve() -> None:
    for line in sys.stdin:
        run = json.loads(line)
        group, pids = 0, []
        for rank in range(run["world"]):
            pid = os.fork()
            if pid == 0:
                os.setpgid(0, group)
                code = work(run, rank)
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
            group = group or pid
            pids.append(pid)
        print(json.dumps(group), flush=True)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(json.dumps(codes), flush=True)


def warm_up() -> None:
    """What every run would import and look up for itself, two thirds of its start."""
    import bitsandbytes  # noqa: F401
    import deepspeed  # noqa: F401
    import torchdata.stateful_dataloader  # noqa: F401
    import transformers

    for name in ("AutoModelForImageTextToText", "AutoModelForSeq2SeqLM", "AutoModelForTextToWaveform"):
        list(getattr(transformers, name)._model_mapping.keys())
    from transformers.models.llama import modeling_llama  # noqa: F401


if __name__ == "__main__":
    warm_up()
    from llamafactory.train import tuner

    from lf_registry.errors import UserError

    gc.freeze()  # DeepSpeed collects garbage twice in a start: in all that was imported that takes a second each time
    print(json.dumps(0), flush=True)
    serve()
