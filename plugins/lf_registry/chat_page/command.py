"""``lf-registry demo``: check what can be checked, then hand over to Streamlit."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from ..errors import UserError
from ..files import is_file
from ..made_by import command_that_makes
from ..merge.resolve import local_folder
from .pair import base_of


def demo(folder: Path, *, base: str | None, host: str, port: int) -> int:
    """Serve the page until it is interrupted.

    Returns:
        Streamlit's exit code; 0 after Ctrl-C.

    Raises:
        UserError: Streamlit is not installed, the folder is neither an adapter nor a model, or there is no such base.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise UserError("the page needs Streamlit, which is not installed", hint='pip install "lf-registry[demo]"')
    if not is_file(folder / "adapter_config.json") and not is_file(folder / "config.json"):
        raise UserError(
            f"{folder}: neither an adapter (adapter_config.json) nor a model (config.json)",
            hint=(f"{made_by}   # makes it; or " if (made_by := command_that_makes(folder)) else "")
            + "name the output_dir of a training, a checkpoint in it, or a merged model",
        )
    base = base or base_of(folder)
    if base is None:
        print(f"note: {folder} names no base model, so it answers alone; to compare: --base MODEL")
    else:
        local_folder(base, what="base model")  # here, not in the browser at the first question
    command = [sys.executable, "-m", "streamlit", "run", str(Path(__file__).with_name("page.py"))]
    command += ["--server.address", host, "--server.port", str(port), "--server.headless", "true"]
    command += ["--browser.gatherUsageStats", "false", "--server.fileWatcherType", "none"]
    command += ["--", str(folder), *([base] if base else [])]
    print(f"next: open http://{host}:{port} (Ctrl-C ends it)", flush=True)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # Streamlit got the same signal and ends by itself
            process.terminate()
            process.wait()
            return 0
