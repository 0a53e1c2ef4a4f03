"""Compare a checkpoint's headers with the model that its config describes. No weight is read or allocated."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..tensors import Tensor
from .checkpoint_files import finding, one_line
from .report import Finding

#: The format's names of the types that torch has under another name; the rest is compared as 8-bit integers.
_TORCH_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"}
_ADVICE = "take config.json and weights of the same model, or save the model again"


def compare_with_model(folder: Path, config: Any, tensors: dict[str, Tensor]) -> tuple[list[Finding], list[str]]:
    """Let Transformers load the headers, as tensors without values, into the model, also without values.

    So its own rules apply: tied weights, renamed and fused names of older checkpoints, keys that a family ignores.

    Args:
        folder: for messages.
        config: Transformers' configuration object.
        tensors: name -> tensor, of all files.

    Returns:
        The findings, and sentences on what was not compared.
    """
    try:
        with _quiet():
            model = _empty_model(config)
    except ImportError as error:
        return [], [f"{folder}: names and shapes were not compared: {one_line(error)}"]
    except Exception as error:  # each family has checks of its own
        message = f"Transformers cannot build the model: {one_line(error)}"
        return [finding("bad-config", folder / "config.json", message, "correct what the message names")], []
    with _quiet():
        state, missing, wrong = _readable(model, tensors)
        wrong += _drop_tied(model, state)
        try:
            _, info = type(model).from_pretrained(
                None,
                config=config,
                state_dict=state,
                device_map={"": "meta"},
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                attn_implementation="eager",
            )
        except Exception as error:
            info = {}
            note = [f"{folder}: Transformers could not load the headers, so not all was compared: {one_line(error)}"]
        else:
            note = []
    missing += sorted(info.get("missing_keys", ()))
    for name, held, expected in sorted(info.get("mismatched_keys", ()), key=lambda entry: entry[0]):
        if 0 not in held:  # these are reported as empty-tensors
            wrong.append(f"{name}: {list(held)} in the file, {list(expected)} in the model")
    return _findings(folder, missing, wrong, sorted(info.get("unexpected_keys", ()))), note


def _findings(folder: Path, missing: list[str], wrong: list[str], unexpected: list[str]) -> list[Finding]:
    findings = []
    if missing:
        message = f"{len(missing)} tensors of the model are not in the files; they would start from random values"
        findings.append(finding("missing-key", folder, message, _ADVICE, names=missing))
    if wrong:
        message = f"{len(wrong)} tensors have another shape than config.json says; loading stops"
        findings.append(finding("wrong-shape", folder, message, _ADVICE, names=wrong))
    if unexpected:
        message = f"{len(unexpected)} tensors are in the files, but the model has no place for them; they are not used"
        findings.append(finding("unexpected-key", folder, message, _ADVICE, severity="warning", names=unexpected))
    return findings


def _empty_model(config: Any) -> Any:
    """Build the model on torch's meta device, with the class that LLaMA-Factory's loader would choose."""
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoModelForSeq2SeqLM,
        AutoModelForTextToWaveform,
    )

    special = (AutoModelForImageTextToText, AutoModelForSeq2SeqLM, AutoModelForTextToWaveform)
    chosen = next((auto for auto in special if type(config) in auto._model_mapping.keys()), AutoModelForCausalLM)  # noqa: SIM118
    with torch.device("meta"):
        return chosen.from_config(config, attn_implementation="eager")


def _readable(model: Any, tensors: dict[str, Tensor]) -> tuple[dict[str, Any], list[str], list[str]]:
    """Turn the headers into tensors without values, with the faults mended that Transformers could not name.

    Transformers fuses the experts of a mixture while it loads. One expert that is missing or has another shape makes
    that fail for the whole layer; so these tensors are compared here, by the names that saving the model would write.

    Returns:
        name -> tensor on the meta device; the missing names; the wrong shapes.
    """
    import torch
    from transformers.core_model_loading import revert_weight_conversion

    state = {}
    for name, tensor in tensors.items():
        dtype = getattr(torch, _TORCH_NAMES.get(tensor.dtype, "int8"))
        state[name] = torch.empty(tensor.shape, dtype=dtype, device="meta")
    own = model.state_dict()
    try:
        written = revert_weight_conversion(model, own)
    except Exception:  # not every conversion has a way back; then the loading itself has to name the faults
        written = {}
    patterns = {_pattern(name) for name in tensors}
    missing: list[str] = []
    wrong: list[str] = []
    for name, expected in written.items():
        if name in own or _pattern(name) not in patterns:
            continue
        if name not in state:
            missing.append(name)
            state[name] = expected
        elif _plain(state[name].shape) != _plain(expected.shape):
            if 0 not in state[name].shape:
                wrong.append(f"{name}: {list(state[name].shape)} in the file, {list(expected.shape)} in the model")
            state[name] = expected
    return state, missing, wrong


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "*", name)


def _plain(shape: Any) -> list[int]:
    """The shape without its ones, which splitting fused experts drops."""
    return [size for size in shape if size != 1]


def _drop_tied(model: Any, state: dict[str, Any]) -> list[str]:
    """Take a tied weight out when the weight that it is tied to is there: Transformers would compare their values.

    Returns:
        The wrong shapes among what was taken out.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, rename_source_key

    tied = getattr(model, "all_tied_weights_keys", {})
    if not tied:
        return []
    own = model.state_dict()
    ends = tuple(".".join(name.split(".")[-2:]) for pair in tied.items() for name in pair)
    mapping = get_model_conversion_mapping(model)
    converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
    renamings = [entry for entry in mapping if not isinstance(entry, WeightConverter)]
    names = {
        rename_source_key(name, renamings, converters, model.base_model_prefix, own)[0]: name
        for name in state
        if name.endswith(ends)
    }
    wrong = []
    for target, source in tied.items():
        if target in names and source in names:
            held = state.pop(names[target]).shape
            if held != own[target].shape and 0 not in held:
                wrong.append(f"{names[target]}: {list(held)} in the file, {list(own[target].shape)} in the model")
    return wrong


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Transformers' reports and progress bars away: what they say is in the findings."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
