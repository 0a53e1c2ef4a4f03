"""What the plugin costs: Python's own start, and LLaMA-Factory's import, with it and without it.

    make bench

Two empty environments see the same packages; the wheel is installed into one of them. Runs alternate (without, with,
without, ...), and CPU time is counted (user and system), so that a busy machine disturbs little; medians, and the
median of the paired differences, are printed.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
CASES = (("python -c pass", "pass", 200), ("import llamafactory.train.tuner", "import llamafactory.train.tuner", 9))

#: Times our hooks inside a process: the difference of two imports of many seconds is mostly noise.
HOOKS = """
import importlib, time
import lf_registry.autoload as autoload
spent = 0.0
def timed(loader, hook):
    execute = loader.exec_module
    def exec_module(module):
        global spent
        execute(module)
        started = time.perf_counter()
        importlib.import_module("lf_registry.errors").show_user_errors_without_traceback()
        importlib.import_module(hook).apply(module)
        spent += time.perf_counter() - started
    loader.exec_module = exec_module
autoload._run_after_exec = timed
import llamafactory.train.tuner
print("SPENT", spent)
"""


def run(*command: str | Path) -> None:
    """Run a command that has to succeed, silently."""
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)


def environment(folder: Path, *wheels: Path) -> Path:
    """An empty environment that sees the packages of this one (a path in a .pth does not run the .pth there)."""
    uv = Path(sys.executable).with_name("uv")
    python = folder / "bin" / "python"
    run(uv, "venv", "--offline", "--python", sys.executable, folder)
    for wheel in wheels:
        run(uv, "pip", "install", "--offline", "--no-deps", "--compile-bytecode", "--python", python, wheel)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "zz_others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def output(python: Path, code: str) -> str:
    """What one interpreter that runs ``code`` prints."""
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout


def seconds(python: Path, code: str) -> float:
    """CPU time of one interpreter that runs ``code``."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    subprocess.run([python, "-c", code], check=True, capture_output=True)
    return used() - before


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as temporary:
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", temporary)
        bare = environment(Path(temporary) / "bare")
        plugin = environment(Path(temporary) / "plugin", *Path(temporary).glob("*.whl"))
        print(f"{'':34}{'without':>11}{'with':>11}{'difference':>12}{'ratio':>8}")
        for title, code, rounds in CASES:
            for python in (bare, plugin):
                seconds(python, code)
            pairs = [(seconds(bare, code), seconds(plugin, code)) for _ in range(rounds)]
            without, with_plugin = (statistics.median(column) for column in zip(*pairs, strict=True))
            difference = statistics.median(b - a for a, b in pairs)
            ratio = statistics.median(b / a for a, b in pairs)
            figures = f"{without * 1e3:>8.1f} ms{with_plugin * 1e3:>8.1f} ms{difference * 1e3:>9.2f} ms{ratio:>8.3f}"
            print(f"{title:34}{figures}   ({rounds} rounds)", flush=True)
        hooks = [float(output(plugin, HOOKS).split("SPENT")[1]) for _ in range(5)]
        print(f"{'of which in our hooks':34}{'':22}{statistics.median(hooks) * 1e3:>9.2f} ms{'':8}   (5 rounds)")


if __name__ == "__main__":
    main()
