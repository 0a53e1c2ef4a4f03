"""Hook on ``llamafactory.train.tuner``: watch the hardware while it trains (``LF_REGISTRY_WATCH``)."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from ..watch import seconds_between_samples


def apply(module: ModuleType) -> None:
    """Add our callback to every training of this process, Ray's workers included."""
    original = module._training_function

    @functools.wraps(original)
    def _training_function(config: dict[str, Any]) -> None:
        interval = seconds_between_samples()
        if interval is not None:
            from ..watch.callback import WatchCallback

            watch = WatchCallback(interval, module.logger.info)
            config = config | {"callbacks": [*(config.get("callbacks") or ()), watch]}
        original(config)

    module._training_function = _training_function
