"""A report as one HTML page that needs nothing else: no font, image, style or script from anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .visible import visible


def render(folder: Path, values: Mapping[str, Any], filters: Mapping[str, Callable[..., Any]] | None = None) -> str:
    """The page of a folder's ``report.html.j2``, with its ``report.css`` and ``report.js`` in it.

    All text is escaped, and invisible characters are shown. The page gets the hash of its script, so that its
    Content-Security-Policy allows no other. Equal values give equal pages.

    Args:
        folder: where the three files are.
        values: what the template shows, besides ``style``, ``script`` and ``script_hash``.
        filters: of the template's own.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= filters or {}
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    own = {"style": style, "script": script, "script_hash": base64.b64encode(_sha256(script)).decode()}
    return environment.get_template("report.html.j2").render(values | own)


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _shown(value: Any) -> Any:
    """What Jinja prints of a value: text of unknown origin with its invisible characters shown."""
    return visible(value) if type(value) is str else value
