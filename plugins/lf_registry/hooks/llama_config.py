"""Hook on Transformers' ``LlamaConfig``: load Kanana 2.1B, whose heads are wider than hidden size / heads.

Transformers 5.5 refuses a hidden size that is not a multiple of the number of heads (1,792 and 24), also where
``head_dim`` is given and the division is never made. The models are right: 24 heads of 128.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any


def apply(module: ModuleType) -> None:
    """Let the check pass where ``head_dim`` says how wide a head is; it is as strict as before where it does not."""
    validators = module.LlamaConfig.__class_validators__
    (place,) = (i for i, validator in enumerate(validators) if validator.__name__ == "validate_architecture")
    original = validators[place]

    def validate_architecture(self: Any) -> None:
        # After its __post_init__ a config always has a head_dim: the quotient, rounded down, when none was given.
        if self.head_dim == self.hidden_size // self.num_attention_heads:
            original(self)

    validators[place] = validate_architecture
