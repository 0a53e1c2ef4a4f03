"""Run one long command with its output in a log file and its progress on the screen."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ..errors import UserError


@dataclass
class Runner:
    """Runs the demo's commands one after the other.

    Attributes:
        root: the folder they run in.
        logs: the folder of their log files.
        console: where progress goes; on a terminal a bar, elsewhere one line a step.
    """

    root: Path
    logs: Path
    console: Console

    def run(self, title: str, command: list[str], trained: Path | None = None) -> float:
        """Run ``command``; returns the seconds it took.

        Args:
            title: what the user sees.
            command: program and arguments.
            trained: the output folder of a training, whose ``trainer_log.jsonl`` tells how far it is.

        Raises:
            UserError: the command failed; shows the end of its log.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{title}.log"
        started = time.monotonic()
        with log.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                command, cwd=self.root, stdout=stream, stderr=subprocess.STDOUT, env=_environment()
            )
            try:
                self._watch(process, title, trained)
            except BaseException:
                process.terminate()
                process.wait(timeout=30)
                raise
        if process.returncode:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise UserError(f"{title}: failed with exit code {process.returncode}; the end of {log}:\n{tail}")
        return time.monotonic() - started

    def _watch(self, process: subprocess.Popen[bytes], title: str, trained: Path | None) -> None:
        if not self.console.is_terminal:
            process.wait()
            return
        with _bar(self.console) as progress:
            task = progress.add_task(title, total=None, note="starting")
            while process.poll() is None:
                done = _progress(trained) if trained else None
                if done:
                    progress.update(task, total=done[1], completed=done[0], note=f"step {done[0]}/{done[1]}")
                time.sleep(0.3)


def _bar(console: Console) -> Progress:
    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}")]
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)


@contextmanager
def step_bar(console: Console, title: str) -> Iterator[Any]:
    """A Transformers callback that shows the steps of a training in this process; None when nobody watches."""
    if not console.is_terminal:
        yield None
        return
    from transformers import TrainerCallback

    with _bar(console) as progress:
        task = progress.add_task(title, total=None, note="starting")

        class Bar(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                note = f"step {state.global_step}/{state.max_steps}"
                progress.update(task, total=state.max_steps, completed=state.global_step, note=note)

        yield Bar()


def quiet() -> None:
    """Turn off the progress bars and log lines of the libraries in this process, which would run into ours."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # DeepSpeed warns when it has to find that out
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def _environment() -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if key != "DS_ACCELERATOR"}
    return inherited | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}


def _progress(trained: Path) -> tuple[int, int] | None:
    """(steps done, steps in all) of a running training, None before its first log line."""
    try:
        last = (trained / "trainer_log.jsonl").read_text(encoding="utf-8").splitlines()[-1]
        values = json.loads(last)
        return values["current_steps"], values["total_steps"]
    except (OSError, IndexError, ValueError, KeyError):
        return None
