"""From what was typed to folders: training outputs, checkpoints, Hub ids, merge recipes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError, WrongUsage
from ..files import is_dir, is_file
from ..made_by import command_that_makes
from ..recipes import Recipe, names, read_recipe
from .adapter_config import FILE
from .checkpoint import read_json

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$")
#: Keys of an export recipe that ask for something that this merge does not do, with what to do about it.
_REFUSED = {
    "export_quantization_bit": "merge first, then quantize the result with llamafactory-cli export",
    "export_hub_model_id": "merge first, then upload the folder",
    "export_legacy_format": "the merged model is saved as safetensors; remove the key",
    "resize_vocab": "a resized vocabulary is read from the adapter, which has to hold its embeddings; remove the key",
    "adapter_folder": "write the folder into adapter_name_or_path",
    "quantization_bit": "the base has to be the full-precision model; remove the key",
    "rope_scaling": "it would change the merged model's config; merge without it, and set it where the model is served",
    "mixture_of_depths": "it converts the base to another architecture; use llamafactory-cli export",
    "train_from_scratch": "there is no base to merge into then; remove the key",
} | dict.fromkeys(
    ("add_tokens", "add_special_tokens", "new_special_tokens_config"),
    "new tokens are read from the adapter's folder, where the training saved its tokenizer; remove the key",
)
#: What LLaMA-Factory's ``get_template_and_fix_tokenizer`` reads besides the template's name.
_TEMPLATE_KEYS = ("default_system", "tool_format", "enable_thinking", "preserve_thinking")
DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


@dataclass(frozen=True)
class Request:
    """A merge as it was asked for.

    Attributes:
        adapters: folders or Hub ids, merged in this order.
        out: the folder to write.
        base: folder or Hub id; from the first adapter's config when None.
        template: the chat template's name, or None to keep the tokenizer as it was saved with the adapter.
        dtype: a name of torch's type, or None for the base's.
        max_shard_size: bytes, or None.
        revision: of the base on the Hub.
        cache_dir: of the Hub's files.
        settings: further keys of the recipe, for its template (``default_system``, ``tool_format``, ...).
        trust_remote_code: run the Python code that a base brings, for its tokenizer and for comparing logits.
        notes: what the user should know.
    """

    adapters: tuple[str, ...]
    out: Path
    base: str | None = None
    template: str | None = None
    dtype: str | None = None
    max_shard_size: int | None = None
    revision: str | None = None
    cache_dir: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    trust_remote_code: bool = False
    notes: tuple[str, ...] = ()


def request_from_recipe(path: str, overrides: Sequence[str] = ()) -> Request:
    """Read a recipe of ``llamafactory-cli export``.

    Raises:
        UserError: lists the keys that are missing or that this merge refuses.
    """
    recipe = read_recipe(path, overrides)
    values = recipe.values
    problems = _of_keys(recipe)
    if problems:
        raise UserError(problems)
    problems = [f"{path}: {key}: {why}" for key, why in _REFUSED.items() if values.get(key)]
    problems += [
        f"{path}: {key}: is missing"
        for key in ("model_name_or_path", "adapter_name_or_path", "export_dir")
        if not values.get(key)
    ]
    if values.get("finetuning_type", "lora") != "lora":
        problems.append(f"{path}: finetuning_type: {values['finetuning_type']} has no adapter to merge")
    if values.get("stage", "sft") == "rm":
        problems.append(f"{path}: stage: rm: a value head is not merged; use llamafactory-cli export")
    dtype = values.get("infer_dtype", "auto")
    if dtype != "auto" and dtype not in DTYPES:
        problems.append(f"{path}: infer_dtype: {dtype!r} is not one of auto, {', '.join(DTYPES)}")
    size = values.get("export_size", 5)
    if isinstance(size, bool) or not isinstance(size, int | float) or size <= 0:
        problems.append(f"{path}: export_size: must be a number of gigabytes above 0, is {size!r}")
    if problems:
        raise UserError(problems)
    note = "infer_dtype: auto: the base's own type is kept (LLaMA-Factory would choose by the GPU it finds)"
    return Request(
        adapters=tuple(names(values["adapter_name_or_path"])),
        out=Path(values["export_dir"]),
        base=str(values["model_name_or_path"]),
        template=values.get("template"),
        dtype=None if dtype == "auto" else dtype,
        max_shard_size=int(size * 10**9),
        revision=values.get("model_revision"),
        cache_dir=values.get("cache_dir"),
        settings={key: values[key] for key in _TEMPLATE_KEYS if key in values},
        trust_remote_code=bool(values.get("trust_remote_code")),
        notes=(note,) if dtype == "auto" else (),
    )


def _of_keys(recipe: Recipe) -> list[str]:
    """Unknown keys and values of the wrong type, which would silently be another merge."""
    from ..check.keys import check_keys

    found = [finding for finding in check_keys(recipe) if finding.severity == "error"]
    return [f"{finding.where}: {finding.message}; {finding.fix}" for finding in found]


def bytes_of(text: str) -> int:
    """A size such as ``5GB`` or ``900MB``, in powers of ten as Transformers reads it; GiB and MiB in powers of two.

    Raises:
        WrongUsage: it is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B\s*", text, re.IGNORECASE)
    if not match or float(match[1]) == 0:
        raise WrongUsage(f"--max-shard-size: {text!r} is no size; write it like 5GB or 900MB")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** " KMGT".index(match[2].upper() or " "))


def adapter_folder(name: str, cache_dir: str | None = None) -> Path:
    """The local folder of an adapter.

    Raises:
        UserError: there is none; names the checkpoint that was probably meant.
    """
    folder = local_folder(name, what="adapter", cache_dir=cache_dir)
    if is_file(folder / FILE):
        return folder
    steps = sorted(folder.glob("checkpoint-*/" + FILE), key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0))
    if steps:
        raise UserError(
            f"{folder}: has no {FILE}: the training did not finish; its checkpoints are there",
            hint=f"lf-registry merge {steps[-1].parent} (and the same options), or go on training first",
        )
    return folder


def base_name(adapter: Path) -> tuple[str, str | None]:
    """The base that an adapter was trained on, and its revision on the Hub, as its config says.

    Raises:
        UserError: it does not say.
    """
    config = read_json(adapter / FILE)
    name, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(name, str) or not name:
        raise UserError(
            f"{adapter / FILE}: base_model_name_or_path is empty", hint="name the base: --base HUB_ID_OR_FOLDER"
        )
    return name, revision if isinstance(revision, str) else None


def _siblings(name: str) -> str:
    """What a mistyped folder was probably meant to be; nothing when the folder above is not there either."""
    above = Path(name).parent
    folders = [str(path) for path in above.iterdir() if path.is_dir()] if is_dir(above) else []
    close = difflib.get_close_matches(str(Path(name)), folders, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def local_folder(name: str, *, what: str, revision: str | None = None, cache_dir: str | None = None) -> Path:
    """A folder as it is, or the Hub's files of an id: from the cache, or downloaded.

    Raises:
        UserError: neither a folder nor an id that can be loaded.
    """
    if is_dir(name):
        return Path(name)
    if is_file(name) or not _HUB_ID.match(name) or name.startswith("."):
        how = "is a file, no folder" if is_file(name) else "is neither a folder here nor a Hub id"
        option = "--base" if what == "base model" else "the adapter's folder"
        made_by = None if is_file(name) else command_that_makes(name)
        raise UserError(
            f"{what} {name!r} {how} (paths start at the current folder){'' if made_by else _siblings(name)}",
            hint=f"{made_by}   # makes it" if made_by else f"correct {option}",
        )
    from ..network import stay_offline_without_network

    offline = stay_offline_without_network()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.safetensors", "*.json", "*.model", "*.jinja", "*.txt", "*.py", "*.tiktoken"]
    try:
        return Path(snapshot_download(name, revision=revision, cache_dir=cache_dir, allow_patterns=patterns))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        why = str(error).strip().splitlines()[0]
        if offline:
            why = "it is not in the cache, and the Hub does not answer"
        made_by = command_that_makes(name)
        raise UserError(
            f"{what} {name!r}: there is no such folder here, and as a Hub id it cannot be loaded: {why}"
            + ("" if made_by else _siblings(name)),
            hint=f"{made_by}   # makes it" if made_by else f"hf download {name}, or name a folder",
        ) from None
