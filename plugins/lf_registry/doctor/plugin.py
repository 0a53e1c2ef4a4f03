"""Whether the plugin is active in a process that is started from here, and what it would find."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .page import Section

_PROBE = """
import json, sys
module = sys.modules.get("lf_registry.autoload")
found = {"file": getattr(module, "__file__", None), "hooks": sorted(getattr(module, "HOOKS", ()))}
found["active"] = any(type(finder).__name__ == "HookFinder" for finder in sys.meta_path)
"""
_FULL = """
from llamafactory.data.template import TEMPLATES
import torch
found["templates"] = sorted(TEMPLATES)
found["cuda"] = [torch.cuda.is_available(), torch.cuda.device_count()]
if not torch.cuda.is_available():
    try:
        torch.cuda.init()
    except Exception as error:
        found["no_cuda"] = (str(error).splitlines() or [""])[0]
found["bf16"] = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
"""
_PRINT = 'print("DOCTOR" + json.dumps(found))'
_SECONDS = {False: 20.0, True: 180.0}


def start_child(full: bool) -> Callable[[], dict[str, Any]]:
    """Start a fresh Python, as ``torchrun`` does; ``full``: it also imports LLaMA-Factory and torch (10 s).

    Returns:
        A function that waits for what the child found, or for ``{"error": its last line}``.
    """
    code = _PROBE + (_FULL if full else "") + _PRINT
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def result() -> dict[str, Any]:
        try:
            out, err = child.communicate(timeout=_SECONDS[full])
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            return {"error": f"no answer in {_SECONDS[full]:.0f} s"}
        if child.returncode == 0 and "DOCTOR" in out:
            return json.loads(out.rpartition("DOCTOR")[2])
        lines = [line for line in err.splitlines() if line.strip()] or [f"exit code {child.returncode}"]
        return {"error": next((line for line in lines if line.startswith("error:")), lines[-1])}

    return result


def plugin(
    child: Mapping[str, Any], environment: Mapping[str, str], here: Path | None = None, gpus: int = 0
) -> Section:
    """Judge what a child process found.

    Args:
        child: see ``start_child``.
        environment: of this process, which the child inherits.
        gpus: how many the driver has, as far as nothing is known that keeps torch from using them.
        here: the file of our ``autoload``; this package's when left out.
    """
    section = Section("plugin")
    here = here or Path(__file__).resolve().parent.parent / "autoload.py"
    if "error" in child:
        section.say("child process", "failed")
        fix = "run: python -c 'import llamafactory.data.template'"
        section.find(
            "error", "child-failed", "plugin", f"a fresh Python does not start as it should: {child['error']}", fix
        )
    elif not child["active"]:
        section.say("child process", "plugin not active")
        off = environment.get("LF_REGISTRY_DISABLE", "") not in ("", "0")
        message = (
            "a process that is started from here does not have the plugin: LLaMA-Factory will not know our templates"
        )
        why = " (LF_REGISTRY_DISABLE is set)" if off else f" (lf_registry_autoload.pth is not in {sys.prefix})"
        fix = "unset LF_REGISTRY_DISABLE" if off else f"{sys.executable} -m pip install lf-registry (or the checkout)"
        section.find("error", "plugin-off", "plugin", message + why, fix)
    else:
        section.say("child process", f"plugin active, {len(child['hooks'])} modules hooked")
        if child["file"] and Path(child["file"]).resolve() != here.resolve():
            message = (
                f"child processes use the plugin in {Path(child['file']).parent}, this command the one in {here.parent}"
            )
            section.find("warning", "two-plugins", "plugin", message, "uninstall one of them, or unset PYTHONPATH")
    if "templates" in child:
        _full(section, child, gpus)
    _command(section, environment)
    _environment(section)
    return section


def _full(section: Section, child: Mapping[str, Any], gpus: int) -> None:
    from ..errors import UserError
    from ..templates import load_templates

    available, count = child["cuda"]
    section.say("torch in it", f"{count} GPUs, bf16 {'yes' if child['bf16'] else 'no'}" if available else "no GPU")
    if gpus and not available:
        message = f"the driver has {gpus} of them, and torch sees none: {child.get('no_cuda') or 'it does not say why'}"
        fix = (
            "python -c 'import torch; torch.cuda.init()' shows all it says; then start the pod anew, or choose another"
        )
        section.find("error", "torch-without-gpu", "GPU", message, fix)
    try:
        missing = sorted(set(load_templates()) - set(child["templates"]))
    except UserError:
        return  # said by the registry's own part of the page
    section.say("LLaMA-Factory in it", "knows our templates" if not missing else f"misses {', '.join(missing)}")
    if missing:
        message = f"LLaMA-Factory does not know {', '.join(missing)} in a child process"
        section.find("error", "templates-missing", "plugin", message, "lf-registry list templates")


def _command(section: Section, environment: Mapping[str, str]) -> None:
    ours = Path(sys.executable).parent / "llamafactory-cli"
    found = shutil.which("llamafactory-cli", path=environment.get("PATH", os.defpath))
    section.say("llamafactory-cli", found or (f"{ours} (not on PATH)" if ours.exists() else "not found"))
    if not ours.exists():
        message = f"LLaMA-Factory's command is not in this Python's environment ({ours.parent})"
        section.find("error", "no-llamafactory", "llamafactory-cli", message, "pip install llamafactory==0.9.5")
    elif found is None or Path(found).resolve() != ours.resolve():
        what = f"is another environment's ({found}), where this plugin is not" if found else "is not found by its name"
        message = f"`llamafactory-cli` {what}"
        section.find("warning", "other-llamafactory", "PATH", message, f"source {ours.parent / 'activate'}")


def _environment(section: Section) -> None:
    from ..errors import UserError
    from ..watch import seconds_between_samples

    try:
        seconds = seconds_between_samples()
        section.say("LF_REGISTRY_WATCH", f"every {seconds:g} s" if seconds else "off")
    except UserError as error:
        section.find("error", "wrong-variable", "LF_REGISTRY_WATCH", error.problems[0], error.hint or "")
