"""Leaving an evaluation in the middle of a training, so that SIGTERM need not wait for its end."""

from __future__ import annotations

import functools
from typing import Any

from transformers import Trainer


class EvaluationLeft(Exception):
    """SIGTERM was agreed on while the training evaluated: every process raises this after the same batch."""


def let_evaluations_be_left(saving: type[Any]) -> None:
    """Make the Trainer save and end where ``EvaluationLeft`` ends an evaluation; half an ``eval_loss`` is none.

    ``Trainer._maybe_log_save_evaluate`` logs, evaluates, and then saves: called again, only the save is left to do.
    Does nothing when the Trainer has no such method; an evaluation then ends with the error.

    Args:
        saving: the class of the callback that is told, by ``stop_here`` and ``leave_if_saved``.
    """
    original = getattr(Trainer, "_maybe_log_save_evaluate", None)
    if original is None or hasattr(original, "can_be_left"):
        return

    @functools.wraps(original)
    def log_save_evaluate(trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        try:
            original(trainer, *args, **kwargs)
        except EvaluationLeft:
            callback = next(found for found in trainer.callback_handler.callbacks if isinstance(found, saving))
            callback.stop_here(trainer.args, trainer.state, trainer.control)
            original(trainer, *args, **kwargs)
            callback.leave_if_saved(trainer.args, trainer.state)

    log_save_evaluate.can_be_left = True  # type: ignore[attr-defined]
    Trainer._maybe_log_save_evaluate = log_save_evaluate
