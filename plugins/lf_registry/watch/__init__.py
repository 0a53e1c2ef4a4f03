"""What the hardware does while a training runs: a log beside the loss, and two figures."""

from __future__ import annotations

import os

#: Switches the watching on. A number is the seconds between two samples: ``1`` samples once a second.
VARIABLE = "LF_REGISTRY_WATCH"
LOG = "hardware_log.jsonl"
HARDWARE_FIGURE = "hardware.png"
LOSS_FIGURE = "training_loss.png"

_FEWEST, _MOST = 0.05, 3600.0


def seconds_between_samples() -> float | None:
    """How often to sample, from the environment; None when nothing is to be watched.

    Raises:
        UserError: ``LF_REGISTRY_WATCH`` is neither a number nor a word for on or off.
    """
    from ..errors import UserError

    text = os.environ.get(VARIABLE, "").strip().lower()
    if text in ("", "0", "false", "no", "off", "n"):
        return None
    if text in ("true", "yes", "on", "y"):
        return 1.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not _FEWEST <= seconds <= _MOST:
        raise UserError(
            f"{VARIABLE}={text!r}: must be the seconds between two samples, {_FEWEST} to {_MOST:.0f}, or 0 for off",
            hint=f"export {VARIABLE}=1",
        )
    return seconds
