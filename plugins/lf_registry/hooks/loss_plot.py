"""Hook on ``llamafactory.extras.ploting``: the losses by epoch in place of its picture of the training loss.

LLaMA-Factory draws after the last callback has run, and would put its own ``training_loss.png`` over ours.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from ..watch import seconds_between_samples


def apply(module: ModuleType) -> None:
    """Draw ours behind LLaMA-Factory's while a run is watched; without it nothing changes."""
    original = module.plot_loss

    def plot_loss(save_dictionary: str, keys: list[str] = ["loss"]) -> None:  # noqa: B006
        original(save_dictionary, keys)
        if "loss" in keys and seconds_between_samples() is not None:
            from ..watch.draw import draw_loss_of

            try:
                draw_loss_of(Path(save_dictionary))
            except Exception as error:  # as in draw_all: the training is done and must stay so
                module.logger.warning(f"{save_dictionary}: the losses by epoch are not drawn ({error})")

    module.plot_loss = plot_loss
