"""What is asked of the folder that a merge will write, before it writes anything."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..errors import UserError, WrongUsage

#: What is kept free besides the weights: tokenizer, configs, the file system's own needs.
_RESERVE = 64 << 20


def check_target(target: Path, sources: list[Path], *, overwrite: bool) -> None:
    """Refuse a target before any work is done.

    Raises:
        UserError: it exists (without ``overwrite``), is no model folder, or is one of the sources.
    """
    try:
        _check_target(target, sources, overwrite)
    except OSError as error:
        raise UserError(f"--out: {target}: cannot be written ({error.strerror})") from None


def _check_target(target: Path, sources: list[Path], overwrite: bool) -> None:
    real = target.resolve()
    for source in sources:
        if real == source.resolve() or real in source.resolve().parents:
            raise WrongUsage(f"--out: {target} is or holds what is merged ({source}); name another folder")
    if target.is_symlink() and not target.exists():
        raise UserError(f"--out: {target} is a link to nothing")
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"--out: {target} exists and is no folder")
    if not any(target.iterdir()):
        return
    if not overwrite:
        raise UserError(
            f"--out: {target} exists already; nothing was changed", hint="name another folder, or --overwrite"
        )
    if not (target / "config.json").is_file():
        raise UserError(f"--out: {target} has no config.json, so it is no model; --overwrite replaces models only")


def check_space(target: Path, needed: int) -> None:
    """Refuse to begin when the disk has too little room; blocks that the file system could share are not counted on.

    Raises:
        UserError: says how much is missing.
    """
    free = shutil.disk_usage(_existing(target.parent)).free
    if free < needed + _RESERVE:
        raise UserError(
            f"{target.parent}: the merged model takes {_size(needed)} and {_size(free)} are free; nothing was written",
            hint=f"make {_size(needed + _RESERVE - free)} of room, or name a folder on another disk with --out",
        )


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
