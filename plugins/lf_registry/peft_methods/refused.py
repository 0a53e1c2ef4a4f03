"""What a method of PEFT cannot be combined with, and why. Found by trying it; ``tests/test_peft_*.py`` try it again."""

from __future__ import annotations

#: Methods of PEFT's registry that a recipe cannot train.
NOT_HERE = {
    "multitask_prompt_tuning": "it needs a `task_ids` column in every batch, which LLaMA-Factory's data does not have",
    "poly": "it needs a `task_ids` column in every batch, which LLaMA-Factory's data does not have",
    "xlora": "it mixes LoRA adapters that were trained before, and learns only how",
    "cpt": "its loss reads the prompt's tokens one by one, and LLaMA-Factory does not tell it which token is which",
}

#: Methods whose layers are no linear layers, so that ``lora_target`` says nothing to them: PEFT's own default is taken.
OWN_TARGETS = frozenset({"adaption_prompt", "ln_tuning", "trainable_tokens"})

#: Methods whose virtual tokens stand in front of the input: logits and labels then differ in length outside the model.
LONGER_LOGITS = frozenset({"p_tuning", "prompt_tuning"})

_SPLIT = "it reads the model's weights while ZeRO-3 has them split over the processes"
#: Methods that do not train under ZeRO-3. DeLoRA does not fail: its norms are empty, and nothing is learned.
NOT_UNDER_ZERO3 = dict.fromkeys(("delora", "ln_tuning", "loha", "osf", "shira", "trainable_tokens"), _SPLIT)

#: Methods that do not train under DeepSpeed at all.
NOT_UNDER_DEEPSPEED = {
    "adalora": "its ranks follow the gradients, which DeepSpeed has freed before they can be looked at",
}
