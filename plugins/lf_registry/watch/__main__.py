"""Draw the figures of a run that is still going on, or was killed: ``python -m lf_registry.watch OUTPUT_DIR``."""

from __future__ import annotations

import sys
from pathlib import Path

from .draw import draw_all


def main(arguments: list[str]) -> int:
    """Draw, and print what was found. Exit code 2: wrong usage."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        if len(arguments) == 1 and not arguments[0].startswith("-"):
            print(f"error: {arguments[0]}: there is no such folder (paths start at the current one)", file=sys.stderr)
        print("usage: python -m lf_registry.watch OUTPUT_DIR (a training's folder)", file=sys.stderr)
        return 2
    print("\n".join(draw_all(Path(arguments[0]))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
