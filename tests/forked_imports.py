"""Imported once by the fork server of ``forked``."""

from __future__ import annotations

import importlib

from forked import IMPORTS, OURS

for name in (*IMPORTS, *OURS):
    importlib.import_module(name)
