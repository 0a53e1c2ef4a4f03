"""Which files go up, from the list of those that may, with the paths of this machine replaced; and what stays here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..check.checkpoint_weights import INDEX, SINGLE
from ..dataset_info import FILE_NAME as DATASETS
from ..errors import UserError
from ..recipes import Recipe
from .allowed import is_allowed, why_not
from .artifact import Artifact, Upload
from .base_model import base_model_id
from .clean import clean_json, clean_modelfile, is_cleaned
from .plots import merged_plots, plot
from .recipe_files import dataset_entries, recipe_text

CARD, RECIPE = "README.md", "recipe.yaml"
#: Folders that are looked into; all others stay here as a whole.
_FOLDERS = ("additional_chat_templates",)


@dataclass(frozen=True)
class LeftOut:
    """A file or a folder that stays here.

    Attributes:
        path: relative to the folder; a folder ends in a slash.
        size: bytes, of a folder with everything in it.
        why: one phrase.
    """

    path: str
    size: int
    why: str


@dataclass(frozen=True)
class Collection:
    """What goes up and what does not.

    Attributes:
        uploads: by their path in the repository.
        left_out: what stays here, by name.
        notes: what the user should know, one sentence each.
    """

    uploads: tuple[Upload, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that go up."""
        return sum(upload.size for upload in self.uploads)


def collect(
    artifact: Artifact, recipe: Recipe | None = None, card: str | None = None, *, base_model: str | None = None
) -> Collection:
    """Choose the files, and replace the paths of this machine in the fields that are known to hold some.

    No file in the folder is changed. Paths elsewhere, and secrets, are found by ``scan``.

    Args:
        artifact: what ``recognize`` said.
        recipe: goes up as ``recipe.yaml``, with the dataset entries that it uses as ``dataset_info.json``.
        card: the text of ``README.md``; None: none goes up.
        base_model: the base's id on the Hub; found in the files or the recipe when left out.

    Raises:
        UserError: all files that have to go up and cannot.
    """
    base = base_model or base_model_id(artifact.base_model, recipe.values.get("model_name_or_path") if recipe else None)
    problems: list[str] = []
    left: list[LeftOut] = []
    uploads: list[Upload] = []
    wanted = {path.name for path in artifact.weights}
    if artifact.kind == "model" and wanted != {SINGLE}:
        wanted.add(INDEX)
    code = any("auto_map" in artifact.facts.get(name, {}) for name in ("config", "tokenizer_config"))
    for name, path in _entries(artifact.folder, left):
        if name in (CARD, RECIPE, DATASETS):
            made = {CARD: card is not None, RECIPE: recipe is not None, DATASETS: recipe is not None}[name]
            what = {CARD: "the card", RECIPE: "the recipe", DATASETS: "the recipe's own entries"}[name]
            why = f"{what} goes up in its place" if made else f"{what} was not given"
            left.append(LeftOut(name, _size(path), why))
        elif name not in wanted and not (is_allowed(name, code=code) and not name.endswith(".safetensors")):
            left.append(LeftOut(name, _size(path), why_not(name)))
        elif outside := _outside(artifact.folder, path):
            left.append(LeftOut(name, _size(path), outside))
            if name in wanted:
                problems.append(f"{path}: {outside}; copy the file itself here: cp --remove-destination")
        else:
            uploads += _uploads(artifact, name, path, base, problems, left)
    uploads += merged_plots(artifact)
    notes = _made(uploads, recipe, card, base)
    if problems:
        raise UserError(problems, hint=_hint(problems))
    return Collection(
        tuple(sorted(uploads, key=lambda upload: upload.remote)),
        tuple(sorted(left, key=lambda out: out.path)),
        tuple(notes),
    )


def _hint(problems: list[str]) -> str | None:
    if any("Hub is not known" in problem for problem in problems):
        return "name the recipe that was trained: --recipe RECIPE, with `model_name_or_path: OWNER/NAME`"
    return None


def _entries(folder: Path, left: list[LeftOut]) -> Iterator[tuple[str, Path]]:
    """The files that are looked at one by one; notes the folders that stay here."""
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            yield path.name, path
        elif path.name not in _FOLDERS:
            left.append(LeftOut(f"{path.name}/", _size(path), why_not(f"{path.name}/")))
        elif path.is_symlink():
            left.append(LeftOut(f"{path.name}/", _size(path), "a link to another folder"))
        else:
            yield from ((f"{path.name}/{below.name}", below) for below in sorted(path.iterdir()) if not below.is_dir())


def _outside(folder: Path, path: Path) -> str | None:
    """Why a file cannot go up as it is: not a plain file, or a link that leaves the folder."""
    try:
        real = path.resolve(strict=True)
        mode = real.stat().st_mode
    except (OSError, RuntimeError):
        return "a link to nothing" if path.is_symlink() else "cannot be read"
    if not stat.S_ISREG(mode):
        return "not a plain file"
    return None if real.is_relative_to(folder.resolve()) else "a link to a file outside of the folder"


def _uploads(
    artifact: Artifact, name: str, path: Path, base: str | None, problems: list[str], left: list[LeftOut]
) -> list[Upload]:
    """One file, or nothing when it stays here; as it is unless something in it had to be replaced."""
    if name.startswith("training_") and name.endswith(".png"):
        picture = plot(name, artifact.facts.get("trainer_state", {}))
        if picture is None:
            why = (
                "its title may show a path of this machine, and trainer_state.json, to draw it anew, has no such curve"
            )
            left.append(LeftOut(name, _size(path), why))
            return []
        return [Upload(name, len(picture), content=picture)]
    if is_cleaned(name) or name == "Modelfile":
        try:
            text = path.read_bytes().decode("utf-8")
            cleaned, found = (clean_modelfile(text), []) if name == "Modelfile" else clean_json(name, text, base)
        except (ValueError, RecursionError) as error:
            problems.append(f"{path}: cannot be read as {'UTF-8' if name == 'Modelfile' else 'JSON'}: {error}")
            return []
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror})")
            return []
        problems += [f"{path}: {problem}" for problem in found]
        if cleaned != text:
            content = cleaned.encode()
            return [Upload(name, len(content), path, content)]
    return [as_it_is(name, path)]


def as_it_is(name: str, path: Path) -> Upload:
    """A local file, as it is now."""
    state = path.stat()
    return Upload(name, state.st_size, path, modified=state.st_mtime_ns)


def _made(uploads: list[Upload], recipe: Recipe | None, card: str | None, base: str | None) -> list[str]:
    """Add the files that are made here: recipe, dataset entries, card."""
    notes: list[str] = []
    if recipe is not None:
        entries, notes = dataset_entries(recipe)
        if entries is not None:
            content = entries.encode()
            uploads.append(Upload(DATASETS, len(content), content=content))
        content = recipe_text(recipe, base, with_datasets=entries is not None).encode()
        same = content == recipe.path.read_bytes()
        uploads.append(Upload(RECIPE, len(content), *((recipe.path,) if same else (None, content))))
    if card is not None:
        content = card.encode()
        uploads.append(Upload(CARD, len(content), content=content))
    return notes


def _size(path: Path) -> int:
    """Bytes of a file or of all files below a folder; links count nothing."""
    if not path.is_dir() or path.is_symlink():
        try:
            return path.lstat().st_size
        except OSError:
            return 0
    return sum(_size(Path(root) / name) for root, _, names in os.walk(path) for name in names)
