"""What the plugin costs: Python's own start, and LLaMA-Factory's import, with it and without it.

    make bench

Runs alternate (with, without, with, ...), so that a busy machine slows both alike; medians and the median of the paired
differences are printed. "Without" is LF_REGISTRY_DISABLE=1, which leaves the one line of the .pth file.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

CASES = (("python -c pass", "pass", 100), ("import llamafactory.train.tuner", "import llamafactory.train.tuner", 9))


def seconds(code: str, **environment: str) -> float:
    """Wall time of one interpreter that runs ``code``."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=os.environ | environment, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print a table."""
    print(f"{'':34}{'without':>10}{'with':>10}{'difference':>12}{'ratio':>8}")
    for title, code, rounds in CASES:
        seconds(code)
        pairs = [
            (seconds(code, LF_REGISTRY_DISABLE="1"), seconds(code, LF_REGISTRY_DISABLE="0")) for _ in range(rounds)
        ]
        without, with_plugin = (statistics.median(column) for column in zip(*pairs, strict=True))
        difference = statistics.median(b - a for a, b in pairs)
        ratio = statistics.median(b / a for a, b in pairs)
        figures = f"{without * 1e3:>7.1f} ms{with_plugin * 1e3:>7.1f} ms{difference * 1e3:>9.2f} ms{ratio:>8.3f}"
        print(f"{title:34}{figures}   ({rounds} rounds)")


if __name__ == "__main__":
    main()
