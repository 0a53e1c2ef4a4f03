"""The Trainer's events, told to the clock that the sampler reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from . import LOG
from .clock import Phase, PhaseClock
from .sampler import Sampler


class WatchCallback(TrainerCallback):
    """Records what the hardware does, on the first process of a run.

    It reads from ``control`` what the Trainer will do after a step, so it comes behind callbacks that ask for a save.

    Args:
        interval: seconds between two samples.
        say: takes a sentence for the training's log.
    """

    def __init__(self, interval: float, say: Callable[[str], None]) -> None:
        self._interval, self._say = interval, say
        self._clock = PhaseClock()
        self._sampler: Sampler | None = None
        self._stepping = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the sampler; the other processes record nothing."""
        if not state.is_world_process_zero:
            return
        self._clock = PhaseClock()
        self._clock.step = state.global_step
        path = Path(args.output_dir) / LOG
        try:
            sampler = Sampler(path, self._clock, self._interval, self._say)
            sampler.start(step=state.global_step, max_steps=state.max_steps, processes=args.world_size)
        except OSError as error:
            self._say(f"{path}: cannot be written ({error.strerror}); the training goes on, unwatched")
            return
        self._sampler = sampler

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The first batch of an epoch is fetched."""
        self._clock.enter("data")

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The batches of a step are there."""
        self._stepping = True
        self._clock.begin_step()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A step is done; its logging still waits for the GPU and belongs to it."""
        self._clock.end_step(state.global_step)
        if not self._stepping:  # PPO's trainer tells only the end of a step
            self._clock.enter("train")
        elif not control.should_log:
            self._leave(control)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The step's loss is logged; an evaluation logs too and stays what it is."""
        if self._stepping and self._clock.phase == "train":
            self._leave(control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After an epoch the Trainer may evaluate and save again."""
        self._leave(control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Go on with the save that follows; with ``save_strategy: best`` the Trainer decides it only after this."""
        self._clock.enter("save" if control.should_save or args.save_strategy == "best" else self._between(control))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The checkpoint is written."""
        self._clock.enter(self._between(control))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop, and draw the figures."""
        sampler, self._sampler = self._sampler, None
        if sampler is None:
            return
        sampler.stop()
        from .draw import draw_all

        for line in draw_all(Path(args.output_dir), state.log_history):
            self._say(line)

    def _leave(self, control: Any) -> None:
        if control.should_evaluate or control.should_save:
            self._clock.enter("evaluate" if control.should_evaluate else "save")
        else:
            self._clock.enter(self._between(control))

    def _between(self, control: Any) -> Phase:
        """What comes after a step when nothing is evaluated or saved any more."""
        if control.should_training_stop:
            return "other"
        return "data" if self._stepping else "train"
