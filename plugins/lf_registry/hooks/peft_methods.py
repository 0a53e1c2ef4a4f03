"""Hook on LLaMA-Factory's arguments and adapters: any method of PEFT, by the recipe key ``peft:``.

LLaMA-Factory builds a ``LoraConfig`` and hands it to PEFT's ``get_peft_model``. With ``peft:`` the same call gets the
configuration of the chosen method instead; everything around it stays LLaMA-Factory's own.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from unittest.mock import patch

from ..errors import UserError
from ..files import is_dir
from ..made_by import command_that_makes
from ..peft_methods.fit import misfits
from ..peft_methods.live import adalora_schedule, keep_prompt_encoder, make_config
from ..peft_methods.rules import conflicts, prediction
from ..peft_methods.settings import SHAPES, Problem, Settings, read_settings
from ..resume.adapter import refuse_other_adapter


def apply(module: ModuleType) -> None:
    """Hook one of LLaMA-Factory's modules, by its name."""
    {
        "llamafactory.hparams.finetuning_args": _add_key,
        "llamafactory.hparams.parser": _check_arguments,
        "llamafactory.model.adapter": _build_adapter,
        "llamafactory.train.tuner": _add_callback,
    }[module.__name__](module)


def _add_key(module: ModuleType) -> None:
    """Give ``FinetuningArguments`` the field ``peft``, so that every parser in every process knows the key."""
    original = module.FinetuningArguments

    @dataclass
    class FinetuningArguments(original):
        peft: dict | str | None = field(
            default=None,
            metadata={"help": "A method of PEFT other than LoRA and its parameters: {method: prefix_tuning, ...}."},
        )

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.peft is not None:
                read_settings(self.peft)

    FinetuningArguments.__module__, FinetuningArguments.__qualname__ = module.__name__, original.__qualname__
    FinetuningArguments.__doc__ = original.__doc__
    module.FinetuningArguments = FinetuningArguments


def _check_arguments(module: ModuleType) -> None:
    """Refuse what the method cannot do, before anything is loaded."""
    get_train_args, get_infer_args = module.get_train_args, module.get_infer_args

    def checked_train_args(args: Any = None) -> Any:
        parsed = get_train_args(args)
        model_args, data_args, training_args, finetuning_args, _ = parsed
        groups = (finetuning_args, training_args, data_args, model_args)

        def get(key: str) -> Any:
            return next((getattr(group, key) for group in groups if hasattr(group, key)), None)

        found: list[Problem] = []
        if finetuning_args.peft is not None:
            found += conflicts(read_settings(finetuning_args.peft), get, _zero_stage())
        elif (config := _last_adapter(model_args) if training_args.predict_with_generate else None) is not None:
            found += prediction(config.peft_type.value.lower(), get) if config.is_prompt_learning else ()
        _refuse(found)
        _check_checkpoint(model_args, training_args, finetuning_args)
        return parsed

    def checked_infer_args(args: Any = None) -> Any:
        parsed = get_infer_args(args)
        model_args = parsed[0]
        config = _last_adapter(model_args)
        kind = config.peft_type.value.lower() if config else "lora"
        if model_args.export_dir is not None and config is not None and _is_no_change_of_weights(config):
            what = f"adapter_name_or_path: a {kind} adapter cannot be merged: it has no change of the model's weights"
            raise UserError(what, hint="llamafactory-cli chat, or PeftModel.from_pretrained in your own program")
        if model_args.infer_backend != "huggingface" and kind != "lora":
            what = f"infer_backend: {model_args.infer_backend} can only load LoRA adapters, and this is {kind}"
            raise UserError(what, hint="write `infer_backend: huggingface`")
        return parsed

    module.get_train_args, module.get_infer_args = checked_train_args, checked_infer_args


def _refuse(found: list[Problem]) -> None:
    if found:
        raise UserError([f"{problem.key}: {problem.message}; {problem.fix}" for problem in found])


def _check_checkpoint(model_args: Any, training_args: Any, finetuning_args: Any) -> None:
    """Whether the adapter can go on from the checkpoint that LLaMA-Factory has found or the recipe names."""
    checkpoint, kind = training_args.resume_from_checkpoint, finetuning_args.finetuning_type
    if not training_args.do_train or not checkpoint or kind not in ("lora", "oft"):
        return
    wanted: dict[str, tuple[str, Any]] = {}
    if finetuning_args.peft is not None:
        settings = read_settings(finetuning_args.peft)
        kind = settings.method.name
        wanted = {name: (f"peft.{name}", settings.values[name]) for name in SHAPES & settings.values.keys()}
    elif model_args.adapter_name_or_path and not finetuning_args.create_new_adapter:
        return  # that adapter's own method and size go on
    elif kind == "lora":
        wanted = {"r": ("lora_rank", finetuning_args.lora_rank)}
    refuse_other_adapter(str(checkpoint), kind, wanted)


def _zero_stage() -> int:
    from transformers.integrations import is_deepspeed_zero3_enabled

    return 3 if is_deepspeed_zero3_enabled() else 0


def _build_adapter(module: ModuleType) -> None:
    original = module._setup_lora_tuning

    def _setup_lora_tuning(
        config: Any, model: Any, model_args: Any, finetuning_args: Any, is_trainable: bool, cast: bool
    ) -> Any:
        last = _last_adapter(model_args)
        settings = read_settings(finetuning_args.peft) if finetuning_args.peft is not None else None
        if (
            last is not None
            and _is_no_change_of_weights(last)
            and (not is_trainable or finetuning_args.create_new_adapter)
        ):
            if is_trainable:
                what = f"create_new_adapter: the {last.peft_type.value} adapter would be merged first, and it cannot be"
                raise UserError(what, hint="remove it: the training then goes on with that adapter")
            return _load_unmerged(original, config, model, model_args, finetuning_args, cast)
        if settings is None:
            return original(config, model, model_args, finetuning_args, is_trainable, cast)
        _check_resumed(settings, last, is_trainable and not finetuning_args.create_new_adapter)
        if is_trainable:  # a model on the Hub was not at hand when the arguments were checked
            _refuse([*misfits(settings, config.to_dict())])

        def with_method(model: Any, lora: Any) -> Any:
            from peft import get_peft_model

            built = get_peft_model(model, make_config(settings, lora, model_args.model_name_or_path))
            return keep_prompt_encoder(built) if settings.method.prompt else built

        with patch.object(module, "get_peft_model", with_method):
            return original(config, model, model_args, finetuning_args, is_trainable, cast)

    module._setup_lora_tuning = _setup_lora_tuning


def _load_unmerged(original: Any, config: Any, model: Any, model_args: Any, finetuning_args: Any, cast: bool) -> Any:
    """LLaMA-Factory merges adapters for inference; what is no change of weights stays an adapter, on top."""
    from peft import PeftModel

    *first, last = model_args.adapter_name_or_path
    with patch.object(model_args, "adapter_name_or_path", first or None):
        model = original(config, model, model_args, finetuning_args, False, cast)
    return PeftModel.from_pretrained(model, last, **_where(model_args), offload_folder=model_args.offload_folder)


def _check_resumed(settings: Settings, last: Any, goes_on: bool) -> None:
    kind = last.peft_type.value.lower() if last is not None and goes_on else settings.method.name
    if kind != settings.method.name:
        what = f"adapter_name_or_path: that adapter is {kind}, and `peft:` wants {settings.method.name}"
        raise UserError(what, hint=f"write `method: {kind}`, or `create_new_adapter: true`")


def _last_adapter(model_args: Any) -> Any:
    """The configuration of the adapter that is loaded last; None without one."""
    from peft import PeftConfig

    if not model_args.adapter_name_or_path:
        return None
    name = model_args.adapter_name_or_path[-1]
    if not is_dir(name) and (made_by := command_that_makes(name)):  # or it would be looked for on the Hub
        raise UserError(f"adapter_name_or_path: {name}: there is no such folder", hint=f"{made_by}   # makes it")
    return PeftConfig.from_pretrained(name, **_where(model_args))


def _where(model_args: Any) -> dict[str, Any]:
    return {
        "subfolder": model_args.adapter_folder,
        "cache_dir": model_args.cache_dir,
        "revision": model_args.model_revision,
        "token": model_args.hf_hub_token,
    }


def _is_no_change_of_weights(config: Any) -> bool:
    return config.is_prompt_learning or config.is_adaption_prompt


def _add_callback(module: ModuleType) -> None:
    """AdaLoRA's schedule needs to be called after every optimizer step."""
    original = module._training_function

    @functools.wraps(original)
    def _training_function(config: dict[str, Any]) -> None:
        config["callbacks"].append(adalora_schedule())
        original(config)

    module._training_function = _training_function
