"""Hook on ``llamafactory.train.tuner``: save when asked to, stop so that it can be resumed, keep a whole checkpoint.

``touch OUTPUT_DIR/SAVE`` or SIGUSR1 saves a checkpoint at the next step; SIGTERM saves one and ends the run with exit
code 75, also in the middle of an evaluation. What the parts do is in ``resume/``.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from transformers import TrainerCallback

from ..errors import UserError
from ..resume import stop
from ..resume.agree import Agreement
from ..resume.builds import release_abandoned
from ..resume.lock import lock
from ..resume.look import checkpoints
from ..resume.room import check_room, explained, size_of
from ..resume.rotate import rotate
from .checkpoints import about_to_train
from .evaluating import EvaluationLeft, let_evaluations_be_left


def apply(module: ModuleType) -> None:
    """Give every training the callback below; a full disk gets a message instead of a page of traceback."""
    let_evaluations_be_left(SavingCallback)
    if os.environ.get(stop.STATUS_VARIABLE) and signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # ignored by torchrun on purpose (resume/launch.py), not by us
    original = module._training_function

    @functools.wraps(original)
    def training_function(config: dict[str, Any]) -> None:
        callback = SavingCallback()
        config["callbacks"].append(callback)
        _release_builds()
        try:
            with about_to_train():
                original(config)
        except Exception as error:
            told = (
                None if isinstance(error, UserError) or callback.folder is None else explained(error, callback.folder)
            )
            if told is None:
                raise
            raise told from None
        finally:
            callback.requests.silence()

    module._training_function = training_function


class SavingCallback(TrainerCallback):
    """Saves and stops on request, in all processes at the same step.

    Attributes:
        folder: the output folder, once training has begun.
        requests: signals and the trigger file.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.requests = stop.Requests()
        self._agreement: Agreement | None = None
        self._stopping = False
        self._saved = False
        self._surplus: tuple[int | None, str | None] | None = None
        self._size = 0
        self._asked = stop.NOTHING
        self._kept = stop.NOTHING
        self._began = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to listen; from here on SIGTERM saves instead of killing."""
        import transformers.trainer

        self.folder = Path(args.output_dir)
        self._agreement = Agreement(args.device)
        if args.should_save:
            self.folder.mkdir(parents=True, exist_ok=True)
        if args.should_save and not args.save_on_each_node:  # with a disk for each node no process sees all files
            transformers.trainer.rotate_checkpoints = self._note_rotation
        if state.is_world_process_zero:
            self._size = max(map(size_of, checkpoints(self.folder)[:1]), default=0)
            lock(self.folder)
            stop.unmark(self.folder)
        if args.local_process_index == 0:
            stop.tell_launcher("training")
        self.requests.listen()

    def _note_rotation(self, output_dir: str, save_total_limit: int | None = None, **options: Any) -> None:
        """In place of Transformers' ``rotate_checkpoints``: old checkpoints are deleted in ``on_save``."""
        self._surplus = (save_total_limit, options.get("best_model_checkpoint"))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Ask for a save, or a save and the end, when any process was asked to."""
        asked = self._agreement.exchange(self.requests.take(self.folder if state.is_world_process_zero else None))
        self._asked, self._kept = max(asked, self._kept), stop.NOTHING
        if self._asked:
            control.should_save = True
        if self._asked == stop.STOP:
            self.stop_here(args, state, control)
        elif control.should_save and state.is_world_process_zero:
            check_room(self.folder, self._size, state.global_step)
        return control

    def stop_here(self, args: Any, state: Any, control: Any) -> None:
        """Save and end at this step: what is waiting to end this process does not wait long, so evaluate never.

        Raises:
            UserError: in the first process, when there is too little room for the checkpoint.
        """
        control.should_evaluate = False
        control.should_save = control.should_training_stop = self._stopping = True
        args.save_only_model = False  # without the optimizer the run could not be resumed
        self._asked = stop.STOP
        if state.is_world_process_zero:
            check_room(self.folder, self._size, state.global_step)

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave an evaluation of the training when any process was asked to stop; a save waits for the next step.

        An evaluation has as many batches in every process, as it gathers their losses.
        """
        if self._agreement is None:
            return  # after the training: a signal ends the process as usual
        asked = self._agreement.exchange(self.requests.take(None))
        self._kept = max(self._kept, asked)
        if asked == stop.STOP and self._began:
            raise EvaluationLeft
        if asked == stop.STOP:  # `eval_on_start`: nothing is there that a checkpoint would keep
            self._leave(args, state, "the same command begins with that evaluation again")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """When every process has written its part, delete old checkpoints and answer the trigger."""
        _wait_for_all()
        if state.is_world_process_zero:
            self._size = size_of(self.folder / f"checkpoint-{state.global_step}")
            limit, best = self._surplus or (None, None)
            for line in rotate(self.folder, limit, best, step=state.global_step):
                _say(line)
            if self._asked:
                self.requests.answered(self.folder)
                _say(f"saved {self.folder}/checkpoint-{state.global_step}, as asked")
        self._saved = self._stopping

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave, when the other callbacks have seen the save too."""
        self._began = True
        self.leave_if_saved(args, state)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave before the evaluation of an epoch."""
        self.leave_if_saved(args, state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Training is complete: a signal now ends the process as usual, and what it wrote last is kept."""
        self._agreement.finish()
        self._agreement = None
        self.requests.silence()
        if self._stopping:  # PPO's own loop comes here; it saves nothing when asked, and must not look complete
            if state.is_world_process_zero:
                _say(
                    f"stopped at step {state.global_step} of {state.max_steps}, because SIGTERM asked for it; "
                    "LLaMA-Factory's PPO cannot be resumed, and nothing was saved but its last checkpoint"
                )
            sys.exit(128 + signal.SIGTERM)
        if state.is_world_process_zero:
            self.requests.answered(self.folder)  # the final model is saved next
        if args.local_process_index == 0:
            stop.tell_launcher("")

    def leave_if_saved(self, args: Any, state: Any) -> None:
        """End this process when it was asked to stop and the checkpoint is written."""
        if not self._saved:
            return
        if state.is_world_process_zero:
            stop.mark(self.folder, state.global_step)
        self._leave(args, state, f"the same command goes on from {self.folder}/checkpoint-{state.global_step}")

    def _leave(self, args: Any, state: Any, then: str) -> None:
        if state.is_world_process_zero:
            where = f"stopped at step {state.global_step} of {state.max_steps}"
            _say(f"{where}, because SIGTERM asked for it; {then} (exit code {stop.RESUME_ME})")
        self._agreement.finish()
        _wait_for_all()
        told = stop.tell_launcher("stopped") if args.local_process_index == 0 else os.environ.get(stop.STATUS_VARIABLE)
        # torchrun takes any code but 0 for a failure, and may start the workers again; its launcher passes 75 on.
        sys.exit(0 if told else stop.RESUME_ME)


def _release_builds() -> None:
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return
    several = int(os.environ.get("WORLD_SIZE", "1")) > int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    for folder in release_abandoned(nodes=2 if several else 1):
        _say(
            f"{folder}/lock was left by a process that was killed while it built this operator; it was removed, "
            "because every start would wait for it without end"
        )


def _wait_for_all() -> None:
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def _say(text: str) -> None:
    print(f"lf-registry: {text}", file=sys.stderr, flush=True)
