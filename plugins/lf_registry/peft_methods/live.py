"""The parts of a method that need PEFT: its configuration, its prompt encoder in a checkpoint, AdaLoRA's schedule."""

from __future__ import annotations

from pathlib import Path
from types import MethodType
from typing import Any
from unittest.mock import patch

from ..errors import UserError
from .refused import OWN_TARGETS
from .settings import Settings

#: Beside the adapter of a checkpoint: the network that makes the prompt, of which PEFT saves only the result.
ENCODER = "prompt_encoder.safetensors"


def make_config(settings: Settings, lora: Any, model_name: str) -> Any:
    """The configuration of the chosen method.

    Args:
        settings: the ``peft:`` key.
        lora: LLaMA-Factory's own configuration: its target modules are taken where the recipe names none.
        model_name: where a text to start from finds its tokenizer.
    """
    from peft import TaskType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    method, values = settings.method, dict(settings.values)
    for name in ("target_modules", "modules_to_save"):
        theirs = getattr(lora, name)
        if theirs and name in method.fields and name not in values and not method.prompt:
            if name == "target_modules" and method.name in OWN_TARGETS:
                continue
            values[name] = theirs if isinstance(theirs, str) else sorted(theirs)
    if str(values.get("prompt_tuning_init", "")).upper() == "TEXT":
        values.setdefault("tokenizer_name_or_path", model_name)
    if method.name == "adalora":
        values.setdefault("total_step", 2**31)  # the schedule writes the training's steps here before the first one
    kind = PEFT_TYPE_TO_CONFIG_MAPPING[method.name.upper()]
    try:
        return kind(task_type=TaskType.CAUSAL_LM, inference_mode=False, **values)
    except (TypeError, ValueError) as error:
        raise UserError(f"peft: PEFT refuses {method.name} with these parameters: {error}") from None


def keep_prompt_encoder(model: Any) -> Any:
    """Let a checkpoint of a prompt method be saved under ZeRO-3, and be resumed where a network makes the prompt.

    PEFT saves the finished prompt, which it computes on the saving process alone: under ZeRO-3 that process would wait
    for the others forever. And it loads that prompt as the network's input, which is another thing.

    Args:
        model: a ``PeftModel`` with a prompt encoder; changed in place.
    """
    save, load = model.save_pretrained, model.load_adapter
    name = model.active_adapter
    prefix = f"prompt_encoder.{name}."

    def save_pretrained(self: Any, folder: Any, *args: Any, state_dict: Any = None, **options: Any) -> None:
        from safetensors.torch import save_file

        whole = self.state_dict() if state_dict is None else state_dict
        encoder = {key.removeprefix(prefix): item for key, item in whole.items() if key.startswith(prefix)}
        prompt = _prompt(self, name, encoder)
        with patch.object(self, "get_prompt_embedding_to_save", lambda _: prompt, create=True):
            save(folder, *args, state_dict=state_dict, **options)
        if set(encoder) != {"embedding.weight"}:
            tensors = {key: item.detach().cpu().contiguous() for key, item in encoder.items()}
            save_file(tensors, Path(folder) / ENCODER)

    def load_adapter(self: Any, folder: Any, adapter: str, *args: Any, **options: Any) -> Any:
        from safetensors.torch import load_file

        encoder = self.prompt_encoder[name]
        if adapter != name or set(dict(encoder.named_parameters())) == {"embedding.weight"}:
            return load(folder, adapter, *args, **options)
        file = Path(folder) / ENCODER
        if not file.is_file():
            what = f"{file} does not exist: without the network that makes the prompt, the training cannot go on"
            raise UserError(what, hint="resume from another checkpoint, or start anew in another output_dir")
        # Transformers looks into the answer for keys that are missing; none is.
        return encoder.load_state_dict(load_file(file))

    model.save_pretrained = MethodType(save_pretrained, model)
    model.load_adapter = MethodType(load_adapter, model)
    return model


def _prompt(model: Any, name: str, weights: dict[str, Any]) -> Any:
    """The finished prompt, from the encoder's whole weights and without the module that ZeRO-3 has split."""
    import torch
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    if set(weights) == {"embedding.weight"}:
        return weights["embedding.weight"].detach().cpu()
    config = model.peft_config[name]
    with torch.no_grad(), torch.random.fork_rng():
        encoder = PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type](config)
        encoder.load_state_dict({key: item.detach().cpu().float() for key, item in weights.items()})
        encoder.eval()
        tokens = torch.arange(config.num_virtual_tokens * config.num_transformer_submodules)
        return encoder(tokens.unsqueeze(0))[0]


def adalora_schedule() -> Any:
    """A Transformers callback that does nothing unless the model is AdaLoRA's; it then moves the ranks to their budget.

    PEFT: ``AdaLoraModel.update_and_allocate`` is to be called after the optimizer's step and before the gradients go.
    """
    from transformers import TrainerCallback

    def of(model: Any) -> Any:
        config = getattr(model, "peft_config", {}).get(getattr(model, "active_adapter", None))
        return config if config is not None and config.peft_type == "ADALORA" else None

    class AdaLoraSchedule(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            config = of(model)
            if config is None:
                return
            if config.total_step == 2**31:
                config.total_step = state.max_steps
            if config.total_step > state.max_steps or config.tinit + config.tfinal >= config.total_step:
                raise UserError(
                    f"peft: AdaLoRA's schedule does not fit into {state.max_steps} steps: tinit {config.tinit}, tfinal "
                    f"{config.tfinal}, total_step {config.total_step}; the ranks would never reach target_r",
                    hint="make tinit + tfinal smaller than the training's steps; total_step can be left out",
                )

        def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if of(model) is not None:
                model.base_model.update_and_allocate(state.global_step + 1)

    return AdaLoraSchedule()
