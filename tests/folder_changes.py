"""What breaks a model folder: each function makes a change, to be done to a fresh copy."""

from __future__ import annotations

import json
from pathlib import Path

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
REMOTE = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}


def edit(name: str, **changes):
    """Change keys of a JSON file; None removes one."""

    def change(folder: Path) -> None:
        path = folder / name
        values = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        values |= changes
        text = json.dumps({key: value for key, value in values.items() if value is not None}, ensure_ascii=False)
        path.write_text(text, "utf-8")

    return change


def text(name: str, content: str | bytes):
    def change(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def remove(*patterns: str):
    def change(folder: Path) -> None:
        for pattern in patterns:
            for path in list(folder.glob(pattern)):
                path.unlink()

    return change


def cut(name: str, amount: int):
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:amount])

    return change


def both(*changes):
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


def tensors(edit_them, name: str = "model.safetensors"):
    """Rewrite a weight file after ``edit_them(dictionary)``."""

    def change(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        held = load_file(folder / name)
        edit_them(held)
        save_file(held, folder / name, {"format": "pt"})

    return change


def drop(*ends: str):
    def edit_them(held) -> None:
        for name in [name for name in held if name.endswith(ends)]:
            del held[name]

    return edit_them


def shape(end: str, *sizes: int):
    def edit_them(held) -> None:
        import torch

        for name in [name for name in held if name.endswith(end)]:
            held[name] = torch.zeros(sizes, dtype=held[name].dtype)

    return edit_them


def put(name: str, *sizes: int):
    def edit_them(held) -> None:
        import torch

        held[name] = torch.zeros(sizes, dtype=torch.bfloat16)

    return edit_them
