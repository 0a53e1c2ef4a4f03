"""How many parameters a method of PEFT trains. The formulas are the shapes that PEFT 0.18 gives its modules."""

from __future__ import annotations

from ..errors import UserError
from ..peft_methods.settings import Settings, read_settings
from ..recipes import names
from .setup import Setup
from .shapes import Part, Shape

#: The methods whose parameters are counted here.
COUNTED = ("adalora", "ia3", "lora", "p_tuning", "prefix_tuning", "prompt_tuning", "vera")


def count_peft(shape: Shape, setup: Setup) -> tuple[int, tuple[Part, ...], int]:
    """Count what the recipe's ``peft:`` trains.

    Returns:
        Parameters, the parts of a layer that carry some, and the elements of the largest trained matrix.

    Raises:
        UserError: the key is wrong, or the method is not counted.
    """
    settings = read_settings(setup.values["peft"])
    method = settings.method
    if method.name not in COUNTED or settings.values.get("modules_to_save"):
        what = "modules_to_save" if method.name in COUNTED else method.name
        raise UserError(f"peft: {what} is not estimated; estimated are {', '.join(COUNTED)}")
    if method.prompt:
        matrices = _prompt(shape, settings)
        return sum(matrices), (), max(matrices)
    targets = _targets(shape, setup, settings)
    each = [_of(part, settings) for part in targets]
    return shape.layers * sum(each), targets, max(each)


def _prompt(shape: Shape, settings: Settings) -> list[int]:
    """Elements of every matrix and bias of the prompt encoder."""
    values, tokens = settings.values, settings.values["num_virtual_tokens"]
    if settings.method.name == "prompt_tuning":
        return [tokens * shape.hidden]
    if settings.method.name == "prefix_tuning":  # a key and a value in every layer (arXiv 2101.00190)
        width = shape.kv_heads * shape.head_dim
        made = 2 * shape.layers * width
        if not values.get("prefix_projection"):
            return [tokens * made]
        inner = values.get("encoder_hidden_size") or width
        return [tokens * width, inner * (width + 1), made * (inner + 1)]
    if str(values.get("encoder_reparameterization_type", "MLP")).upper() != "MLP":
        raise UserError("peft: p_tuning is estimated with `encoder_reparameterization_type: MLP` only")
    inner = values.get("encoder_hidden_size") or shape.hidden  # three linear layers (arXiv 2103.10385)
    return [tokens * shape.hidden, inner * (shape.hidden + 1), inner * (inner + 1), shape.hidden * (inner + 1)]


def _targets(shape: Shape, setup: Setup, settings: Settings) -> tuple[Part, ...]:
    wanted = settings.values.get("target_modules")
    wanted = list(setup.lora_target) if wanted is None else names(wanted)
    linear = [part for part in shape.layer if part.linear and part.columns]
    if wanted in (["all"], ["all-linear"]):
        return tuple(linear)
    found = tuple(part for part in linear if part.name in wanted or part.name.split(".")[-1] in wanted)
    known = {part.name.split(".")[-1] for part in linear} | {part.name for part in linear}
    unknown = [name for name in wanted if name not in known]
    if unknown or not found:
        raise UserError(f"peft.target_modules: {unknown} is not in the model's layers; a pattern is not estimated")
    return found


def _of(part: Part, settings: Settings) -> int:
    values, name = settings.values, settings.method.name
    if name == "ia3":  # one number for each output, in the feed-forward layer for each input (arXiv 2205.05638)
        forward = values.get("feedforward_modules")
        forward = ["down_proj"] if forward is None else names(forward)
        return part.columns if part.name.split(".")[-1] in forward else part.rows
    if name == "vera":  # two vectors; the matrices between them are drawn once and not trained (arXiv 2310.11454)
        return part.rows + (values.get("r") or 256)
    if name == "adalora":  # P and Q with the singular values between them (arXiv 2303.10512)
        return (values.get("init_r") or 12) * (part.rows + part.columns + 1)
    magnitudes = part.rows if values.get("use_dora") else 0
    return (values.get("r") or 8) * (part.rows + part.columns) + magnitudes
