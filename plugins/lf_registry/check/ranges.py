"""Which numbers mean something for a key."""

from __future__ import annotations

import math

_AT_LEAST_ONE = (1, math.inf, "1 or more")
_NOT_NEGATIVE = (0, math.inf, "0 or more")
_POSITIVE = (5e-324, math.inf, "more than 0")  # the smallest float above zero
_SHARE = (0, math.nextafter(1, 0), "0 or more, and less than 1")

#: Key -> smallest value, largest value, and both in words.
RANGES: dict[str, tuple[float, float, str]] = {
    "adam_beta1": _SHARE,
    "adam_beta2": _SHARE,
    "adam_epsilon": _POSITIVE,
    "apollo_rank": _AT_LEAST_ONE,
    "cutoff_len": _AT_LEAST_ONE,
    "dataloader_num_workers": _NOT_NEGATIVE,
    "dpo_label_smoothing": (0, math.nextafter(0.5, 0), "0 or more, and less than 0.5"),
    "early_stopping_steps": _AT_LEAST_ONE,
    "eval_delay": _NOT_NEGATIVE,
    "galore_rank": _AT_LEAST_ONE,
    "gradient_accumulation_steps": _AT_LEAST_ONE,
    "label_smoothing_factor": _SHARE,
    "learning_rate": _POSITIVE,
    "logging_steps": _POSITIVE,
    "lora_alpha": _AT_LEAST_ONE,
    "lora_dropout": _SHARE,
    "lora_rank": _AT_LEAST_ONE,
    "loraplus_lr_ratio": _POSITIVE,
    "max_grad_norm": _NOT_NEGATIVE,
    "max_samples": _AT_LEAST_ONE,
    "max_steps": (1, math.inf, "1 or more, or -1 for `num_train_epochs:`"),
    "module_dropout": _SHARE,
    "neftune_noise_alpha": _NOT_NEGATIVE,
    "num_train_epochs": _POSITIVE,
    "per_device_eval_batch_size": _AT_LEAST_ONE,
    "per_device_train_batch_size": _AT_LEAST_ONE,
    "ppo_buffer_size": _AT_LEAST_ONE,
    "ppo_epochs": _AT_LEAST_ONE,
    "pref_beta": _POSITIVE,
    "pref_ftx": _NOT_NEGATIVE,
    "preprocessing_num_workers": _AT_LEAST_ONE,
    "ray_num_workers": _AT_LEAST_ONE,
    "save_steps": _POSITIVE,
    "save_total_limit": _AT_LEAST_ONE,
    "seed": _NOT_NEGATIVE,
    "val_size": _NOT_NEGATIVE,
    "warmup_ratio": (0, 1, "a share of all steps, 0 to 1 (a number of steps is `warmup_steps:`)"),
    "warmup_steps": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
}
